"""What a person asks for: `Experiment`, its fields, and reading it from a file or a command line.

What is derived from it (device, folds, batches) lies in `workflows/plan.py`.
"""

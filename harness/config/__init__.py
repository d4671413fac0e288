"""The settings of a run: `Experiment`, its fields, and how it is read from a file or a command line.

What is computed from it (device, folds, batches) is the `Plan` of `training/`, made in `workflows/`.
"""

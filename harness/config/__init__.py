"""What a person asks for: `Experiment`, its fields, and reading it from a file or a command line.

The decisions that follow from it (device, folds, batches) are the `Plan` of `training/`, made in `workflows/`.
"""

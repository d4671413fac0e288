"""The public functions: one file each. Each function does the same as the command of its name.

The commands are in `cli/`; the work is done in `tuning/` and `workflows/`.
"""

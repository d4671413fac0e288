"""What each command does, without the terminal: one file each, or a folder if one file is not enough.

Arguments, printing and exit codes are in `cli/`; one fit is in `training/`.
"""

"""What a person asks for, without the terminal: a file each, or a folder where one is not enough.

Arguments, printing and exit codes are in `cli/`; one fit is in `training/`.
"""

"""What a person asks for, one file each, without the terminal: plan, cross-validate, test, promote, reproduce.

Arguments, printing and exit codes are in `cli/`; one fit is in `training/`.
"""

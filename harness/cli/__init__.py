"""The command line: one small file a command, with its arguments, what it prints and its exit code.

What a command does is in `workflows/`, `tuning/`, `trackers/`, `versioning/` or `doctor/`. Nothing heavy is imported
before a command needs it.
"""

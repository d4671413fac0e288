"""The command line. One small file per command defines its arguments, its output and its exit code.

The work itself is in `workflows/`, `tuning/`, `trackers/`, `versioning/` and `doctor/`. Slow imports happen inside the
command that needs them, so that `harness --help` is fast.
"""

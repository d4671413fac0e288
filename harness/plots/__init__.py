"""Plots of a run or a study: one file per subject, drawn without a screen, in colours for colour-blind readers.

Which plots a run gets, and when, is decided in `training/`, `trackers/` and `tuning/`.
"""

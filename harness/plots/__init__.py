"""Pictures of a run or a study: one file per subject, drawn without a screen, in colours that all can distinguish.

Which pictures a run gets, and when, is in `training/`, `trackers/` and `tuning/`.
"""

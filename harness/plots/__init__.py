"""Pictures of a run or a study: one file a picture, drawn without a screen, in colours that all can tell apart.

Which pictures a run gets, and when, is in `trackers/` and `tuning/`.
"""

"""The run folder and its records, the champion, and where a result came from.

What trains is in `training/`; what shows a run elsewhere is in `trackers/`.
"""

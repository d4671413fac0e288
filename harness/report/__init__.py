"""HTML reports of a run, a study, a test or a data check: one file each, with its templates and its content.

The plots of a run folder are in `plots/`. Finding the result that the user has named is in `workflows/`.
"""

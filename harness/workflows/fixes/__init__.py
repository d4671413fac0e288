"""The table of fixes: a data check writes it, a person edits it, and it is applied to the data or undone.

The check is in `check_data/`. A table of images is rewritten by `data/rewrite_table.py`.
"""

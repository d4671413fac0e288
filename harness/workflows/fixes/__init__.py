"""The table of fixes: written for what a check of the data found, edited by a person, applied to the data, undone.

Not here: the check itself, and how a table of images is rewritten (`data/rewrite_table.py`).
"""

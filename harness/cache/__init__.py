"""Arrays that are computed once and kept on disk: a row per item, found again by content, shared by processes.

What is computed (features, decoded images) and why is not known here: `training/` and `data/` say so. An entry is two
files: `KEY.rows`, the bare numbers, and `KEY.json`, written last, which says what they are, with their checksum. KEY is
a digest of the items and of all that a row is a function of; so nothing is ever out of date. What is half written has
no `KEY.json`, what is damaged has another checksum: both are made again.
"""

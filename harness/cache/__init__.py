"""Arrays that are computed once and stored on disk: one row per item, identified by content, shared by processes.

`training/` and `data/` decide what is computed (features, decoded images). An entry has two files. `KEY.rows` has only
the numbers. `KEY.json` is written last, and has their description and checksum. KEY is a digest of the items and of
everything that determines a row, so no entry is ever outdated. A half-written entry has no `KEY.json`, and a damaged
one has a wrong checksum: both are computed again.
"""

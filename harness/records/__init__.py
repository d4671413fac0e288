"""The form of each record that `harness` writes and reads back: every field that is used, with its type.

Only forms belong here; the files are read and written by whoever owns them, and the types of values are in `checked`.
"""

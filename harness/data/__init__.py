"""Images in folders: listed, checked, decoded, transformed, split, and loaded in batches.

`.dvc` files are read in `versioning/`. Features of a frozen model are computed in `training/`.
"""

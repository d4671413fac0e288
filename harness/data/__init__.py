"""Images in folders: listed, checked, decoded, transformed, split, and loaded in batches.

What `.dvc` files say of them is in `versioning/`; features of a frozen model are in `training/`.
"""

"""Data and models under DVC and git: `.dvc` files, remotes, credentials.

Which version a run had is in `runs/provenance.py`.
"""

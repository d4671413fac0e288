"""Data and models under DVC and git: `.dvc` files, remotes, credentials.

The version that a run used is recorded in `runs/provenance.py`.
"""

"""Classifiers: built by name, given weights, frozen in part, cut, and read from a checkpoint.

How one is trained is in `training/`.
"""

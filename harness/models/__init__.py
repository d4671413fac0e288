"""Classifiers: how to build them, load weights, freeze a part, cut them in two, and read them from a checkpoint.

`training/` trains them.
"""

"""Finds a model, predicts images with it, and sorts the images, explains predictions or writes features.

Tests, which know the true classes, are in `test.py`, and exported files in `export/`.
"""

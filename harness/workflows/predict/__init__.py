"""Predictions: of which model, of which images, and what becomes of them.

Not here: tests, which know the true classes (`test.py`), and exported files (`export/`).
"""

"""Finds the model that is asked, predicts images, and copies, explains or writes what came out.

Not here: tests, which know the true classes (`test.py`), and exported files (`export/`).
"""

"""Exports a model to a file for other programs, compares the file with the model, and loads it again.

`find_model.py` finds the model that a command names.
"""

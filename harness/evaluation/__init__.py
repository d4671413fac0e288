"""Computes numbers from predictions: accuracy, intervals, metrics, calibration, paired tests.

Pure functions of values and arrays. `runs/` reads and writes the files.
"""

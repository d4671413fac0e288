"""From predictions to numbers: accuracy, intervals, metrics, calibration, paired tests.

Pure functions on values and arrays. Files are read and written in `runs/`.
"""

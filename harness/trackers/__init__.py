"""Mirrors of a run folder: TensorBoard and MLflow, their servers, and sending what they missed.

The run folder itself is in `runs/`.
"""

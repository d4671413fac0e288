"""Mirrors of a run folder: TensorBoard and MLflow, their servers, and sending what they lack.

The run folder itself is in `runs/`.
"""

"""The run folder and its records, the champion, and the origin of a result.

Training is in `training/`. Sending runs to TensorBoard and MLflow is in `trackers/`.
"""

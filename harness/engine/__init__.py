"""The training loop: `Trainer`, `State`, `Callback`, metrics, precision, checkpoints, and the callbacks.

Nothing here knows of images, folders or experiments.
"""

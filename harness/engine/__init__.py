"""The training loop: `Trainer`, `State`, `Callback`, metrics, precision, checkpoints, and the callbacks.

Nothing here depends on images, folders or experiments.
"""

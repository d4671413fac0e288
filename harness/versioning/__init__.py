"""Data and models under DVC."""

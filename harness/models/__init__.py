"""Classifiers: building them by name, loading weights into them, freezing a part of them."""

"""Compares results on the images that all of them predicted."""

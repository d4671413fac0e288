"""Results compared on the images that all of them have predicted."""

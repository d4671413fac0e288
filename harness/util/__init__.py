"""Plain helpers, one subject a file: files, processes, console, text, checked values.

Nothing here knows of images, models or experiments. What is about git and DVC lies in `versioning/`.
"""

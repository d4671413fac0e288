"""Plain helpers, one subject per file: files, processes, console, text, schemas, errors of the user's functions.

Nothing here imports torch, images, models or experiments. What is about git and DVC lies in `versioning/`.
"""

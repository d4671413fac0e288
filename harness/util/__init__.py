"""Plain helpers, one subject per file: files, processes, console, text, schemas, errors of the user's functions.

Nothing here imports torch, images, models or experiments. Git and DVC are in `versioning/`.
"""

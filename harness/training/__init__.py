"""One fit: the `Plan` and its rehearsal; a fold's model, batches or features, optimizer and callbacks.

`workflows/` decides which folds there are and what happens with their results.
"""

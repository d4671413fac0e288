"""One fit: the `Plan` and its rehearsal; a fold's model, batches or features, optimizer, and callbacks around the loop.

Which folds there are, and what becomes of their results, is in `workflows/`.
"""

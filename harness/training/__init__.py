"""One fit: the model of a fold, its batches or features, its optimizer, and the callbacks around the loop.

Which folds there are, and what becomes of their results, is in `workflows/`.
"""

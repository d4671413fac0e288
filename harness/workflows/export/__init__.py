"""One model as a file for other programs: made, compared with the model, written, loaded again.

Which model a person means is in `find_model.py`.
"""

"""A check of the data: copies, doubtful labels, shortcuts and odd images, looked for in all sides of a data set.

What is measured on arrays alone belongs in `evaluation`, what is read of one file in `data`, the page in `report`.
"""

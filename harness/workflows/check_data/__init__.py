"""`harness data check`: looks for copies, doubtful labels, shortcuts and odd images in all splits of a data set.

Statistics on arrays are in `evaluation`, facts of one file in `data`, and the page is in `report`.
"""

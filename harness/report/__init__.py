"""One HTML file about a run, a study or a test: its template, and what goes into it.

Not here: pictures that are files of a run folder (`plots`), and which result a person means (`workflows`).
"""

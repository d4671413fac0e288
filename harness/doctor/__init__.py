"""Checks of the machine, the data, the stores and the repository, each with what to type.

Also keys and tokens in git, and the hook that refuses them. Nothing here trains or writes a run.
"""

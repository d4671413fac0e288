"""Checks of the machine, the data, the stores and the repository. Each finding says what to type.

Also finds keys and tokens in git, and installs the hook that refuses them. Nothing here trains or writes a run.
"""

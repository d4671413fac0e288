"""Disk use of runs, protection of needed runs, and removal of others."""

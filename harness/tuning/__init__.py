"""Searches with Optuna: a study over cross-validation. Only this room imports Optuna.

Its name is not `search`, because that would hide the public `harness.search`.
"""

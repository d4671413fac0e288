"""Searches with Optuna: a study over cross-validation. The only room that imports Optuna.

It is not called `search`, which would replace a public `harness.search`.
"""

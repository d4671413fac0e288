"""The search: an Optuna study over cross-validation, that goes on where it was cut off, on any number of machines."""

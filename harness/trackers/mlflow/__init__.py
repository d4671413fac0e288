"""A run in MLflow: one parent run, a child a fold, sent from the plain files of the run folder."""

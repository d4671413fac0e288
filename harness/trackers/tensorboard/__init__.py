"""A run in TensorBoard: event files in the run folder, written as the run goes, or again from its plain files."""

"""Where a run is written down. The run folder comes first; every other tracker mirrors it."""

"""Whether everything that a run needs is there: one check a subject, each with what to type where it is not."""

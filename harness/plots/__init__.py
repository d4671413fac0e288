"""Pictures of a run: one file per picture, drawn without a screen, in colours that everybody can tell apart."""

"""The command line: one small file per verb. Nothing heavy is imported before a command needs it."""

"""What a person calls from Python: one file per public function, each the same as its command.

Not here: what a command prints (`cli`), and the work (`tuning`, `workflows`).
"""

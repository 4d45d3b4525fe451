"""One module a command; each loads what it needs when it runs, so that `tagship --help` loads nothing."""

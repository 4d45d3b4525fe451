"""One module for each command. Each loads what it needs only when it runs, so `tagship --help` is fast."""

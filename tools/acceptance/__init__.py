"""The acceptance run: creates a stage in an account, runs its releases, asks questions, writes a report, and removes
it."""

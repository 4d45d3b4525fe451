"""The command line, for people and CI jobs."""

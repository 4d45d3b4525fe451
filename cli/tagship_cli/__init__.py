"""The command line: what a person, or a CI job, says to a stage of Tagship."""

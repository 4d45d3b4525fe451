"""The actions behind the commands: each module is one action on a stage."""

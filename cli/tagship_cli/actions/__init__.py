"""What the commands do: each module is one action on a stage."""

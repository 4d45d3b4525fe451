"""What the steps of a deployment decide together."""

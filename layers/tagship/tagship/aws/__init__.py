"""AWS: clients and sessions, rights, and its refusals in our words."""

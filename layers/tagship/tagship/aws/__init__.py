"""AWS: clients and sessions, permissions, and the translation of its errors."""

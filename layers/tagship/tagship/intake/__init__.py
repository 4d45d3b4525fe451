"""Reads uploads, in the versions in which they were found, and the application's configuration at that moment."""

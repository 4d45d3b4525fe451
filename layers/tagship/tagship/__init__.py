"""Tagship: tagged releases, shipped safely."""

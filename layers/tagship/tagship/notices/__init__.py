"""Sends facts to everyone who should know; no release waits for this, and no failure here affects a release."""

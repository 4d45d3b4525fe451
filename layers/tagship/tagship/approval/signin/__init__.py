"""Sign-in, which stands in front of the page."""

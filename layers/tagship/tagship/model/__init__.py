"""The nouns: plain data and pure decisions about it."""

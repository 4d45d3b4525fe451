"""The narrator: what happened to a release, in words."""

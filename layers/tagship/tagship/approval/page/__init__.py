"""The page behind the link."""

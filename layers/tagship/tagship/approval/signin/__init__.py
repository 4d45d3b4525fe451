"""The sign-in before the approval page."""

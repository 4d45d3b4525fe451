"""The acceptance run: one stage of its own in an account, taken through its releases, asked, written down, and removed."""

"""Written anew for each release."""

VERSION = "v1.0.0"
BROKEN = False

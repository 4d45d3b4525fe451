"""What every kind of target promises, a case each: tests run them in memory, `tagship conformance` on a team's function."""

"""The promises that every kind of target keeps, one case each. Tests run them in memory, `tagship conformance` on a
function."""

"""What the commands show: words, tables and drawings of what was found."""

"""What commands show: text, tables and drawings."""

"""The only truth: facts, and the records that they explain, written together. Only this room knows the table's keys."""

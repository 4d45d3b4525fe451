"""The only source of truth: facts, and the records that they explain, written together. Only this room knows the table's
keys.
"""

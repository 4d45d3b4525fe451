"""Words, times and templates: what people read, made harmless."""

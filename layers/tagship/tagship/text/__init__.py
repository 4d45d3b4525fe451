"""Words, times and templates: makes what people read harmless."""

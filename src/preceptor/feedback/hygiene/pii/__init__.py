"""Personal data in prompts: found by patterns with checksums, and by a spaCy model where one is installed."""

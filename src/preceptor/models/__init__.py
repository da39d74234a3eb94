"""Models: one configurable decoder, its heads, and how they come from and go to disk."""

"""Talking to models in a terminal, or line by line in a script."""

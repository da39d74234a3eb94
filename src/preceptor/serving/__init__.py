"""Talking to models: the API and the chat page."""

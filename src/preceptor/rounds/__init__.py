"""Rounds added to a finished run: what came in since, cleaned and written down before anything learns from it."""

from preceptor.rounds.record import Added, read_added

__all__ = ["Added", "read_added"]

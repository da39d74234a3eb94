"""Measures on finished models, all on users that no stage was trained on."""

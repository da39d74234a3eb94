"""What stands before the models, be they ours or another server's: keys, limits, times, figures, the log, the end."""

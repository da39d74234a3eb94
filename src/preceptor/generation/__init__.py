"""Generation: from a model and prompts to responses, with the log-probabilities they were sampled at."""

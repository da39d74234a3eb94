"""Text and tokens: the tokenizer, the one renderer of conversations, and packing into rows."""

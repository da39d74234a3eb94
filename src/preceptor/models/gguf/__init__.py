"""Models in llama.cpp's single-file format, turned into Hugging Face directories."""

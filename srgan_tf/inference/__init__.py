"""Inference with trained generators: pictures of any size in tiles, many files, and export."""

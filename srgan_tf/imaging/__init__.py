"""Pixels: files, resizing and color, without TensorFlow."""

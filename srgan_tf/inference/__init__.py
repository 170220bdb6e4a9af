"""Trained generators at work: pictures of any size, and export."""

"""Errors, files, locks and memory: all that is neither about images nor about networks."""

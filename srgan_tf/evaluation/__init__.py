"""Scores of super-resolved pictures: metrics, test sets, tables."""

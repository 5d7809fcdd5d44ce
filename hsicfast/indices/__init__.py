"""Sensitivity indices of a table or a stream, and what they justify."""

"""Rounds of proposing, training and analysis."""

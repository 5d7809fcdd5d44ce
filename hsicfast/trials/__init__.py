"""Trials from anywhere, as one table, and the goal that decides which of them are good."""

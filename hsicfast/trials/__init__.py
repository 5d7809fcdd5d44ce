"""Trials as one table, rows that repeat a configuration, and the goal that decides which are good."""

"""Puts an analysis into optuna-dashboard: its pictures as plotly charts, its verdicts as a note."""

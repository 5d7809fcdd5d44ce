"""Trials that people already have: read from files, studies, folders or frames, and what their columns are."""

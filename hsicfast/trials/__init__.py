"""What was tried, from anywhere, and what counts as good."""

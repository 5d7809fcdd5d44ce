"""One trial, trained here or elsewhere."""

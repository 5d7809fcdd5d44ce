"""Trials are trained here, in processes or on a cluster."""

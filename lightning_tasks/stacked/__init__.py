"""Many small networks train at once, as one stack; each has the numbers that it would have alone."""

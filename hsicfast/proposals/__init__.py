"""What an optimiser proposes next, and what it is to look for."""

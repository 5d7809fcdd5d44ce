"""How sure: tests of many hyperparameters at once, bounds on what they may do, and what the trials must be for that."""

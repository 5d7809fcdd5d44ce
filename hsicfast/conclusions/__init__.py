"""What follows from the indices: what to do with each hyperparameter, how sure a rank is, what a change is worth."""

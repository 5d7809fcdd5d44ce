"""What may be tried: hyperparameters, their ranges, distributions and conditions."""

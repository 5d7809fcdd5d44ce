"""What follows from the indices: total orders, curves over epochs, what a change of a configuration is worth."""

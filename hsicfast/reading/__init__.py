"""What a table of trials means: which columns are hyperparameters, what their gaps are, which rows are trials."""

"""One file for each library whose models can be saved and loaded."""

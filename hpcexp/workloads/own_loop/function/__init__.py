"""A function of the user's that trains one run."""

"""A PyTorch Lightning module of the user's that is one run."""

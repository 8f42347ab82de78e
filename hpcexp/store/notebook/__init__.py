"""What people write about experiments: notes, and notebooks that were kept as text."""

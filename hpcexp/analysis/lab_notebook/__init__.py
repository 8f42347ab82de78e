"""The notebook of all experiments, and slides for a meeting."""

"""Slurm: scripts, limits, submission, and what the cluster says of our jobs."""

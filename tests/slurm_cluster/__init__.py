"""A real Slurm cluster on this machine, for tests (docs/test-cluster.md)."""

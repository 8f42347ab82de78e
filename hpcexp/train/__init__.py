"""The training core: pure steps, one loop. It knows no Slurm, no YAML and no store."""

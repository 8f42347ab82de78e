"""A real cluster on which everything goes wrong, and an experiment that must complete anyway."""

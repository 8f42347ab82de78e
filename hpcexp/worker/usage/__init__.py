"""How much of its GPU, CPUs and memory a job uses, sampled while it runs."""

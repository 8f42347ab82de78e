"""How well single latents stand for single factors: metrics that any workload may use."""

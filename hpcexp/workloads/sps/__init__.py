"""Self-supervised learning by physical symmetry: a VAE and an RNN watch a bouncing ball."""

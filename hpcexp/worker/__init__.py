"""What runs on the node: a bundle of runs, each trained, recorded and brought to an end."""

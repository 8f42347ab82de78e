"""Naming the class of an image, with an encoder that may come from another workload."""

"""Training strategies: which tasks are active, which rows they get, how losses and gradients mix.

Order decides which tasks are active, rows share the batch out among them, weighting weighs the
losses of those that are active, and combining makes one gradient of several. Each part has a
memory of its own, tensors that the training core keeps with the run's state.

Shapes: L tasks, B rows of a batch, D sources, N named parameters.
"""

"""Any script or program that is started with the hyperparameters of a run."""

"""Several tasks learned by one multimodal model: training strategies are hyperparameters."""

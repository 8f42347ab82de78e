"""Looking into trained models: parameters are loaded, shown by their workload, and drawn here."""

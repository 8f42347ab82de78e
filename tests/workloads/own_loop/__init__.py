"""What templates say of workloads that train by themselves."""

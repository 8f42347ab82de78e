"""Still images and their encoders, for the workloads that read single images."""

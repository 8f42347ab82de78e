"""Choosing on the node how the runs of a job are packed: measured, then decided."""

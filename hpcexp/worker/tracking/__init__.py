"""Trackers follow runs while they train: docs/trackers.md."""

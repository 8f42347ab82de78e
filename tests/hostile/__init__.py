"""Disks that are full or away, strangers' files, odd names, two people at once: all for real."""

"""Unmixing: from which of n images is this one mixed, and how much of each?"""

"""Runs that train by themselves."""

"""Checks that find out why a model does not learn, before days are spent on it."""

"""Foretelling success: learning rules, and what rules did to the runs that they stopped."""

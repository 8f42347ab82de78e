"""Copies of experiments between machines, over ssh and rsync.

A copy is made in `.pulling/` (`.pushing/` on the other side), beside the experiments, where an
interrupted one is continued, and gets its name when it is complete. One that is there already is
exchanged for the new one as a whole.
"""

"""The experiment directory: every state of an experiment is a file that a person can open.

`layout` spells all names; the other modules read and write what stands there.
"""

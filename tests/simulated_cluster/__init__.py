"""A simulated Slurm: a model of what its controller, database and commands do, on a virtual clock.

Tests of faults and of scale ask it for what a real cluster on one machine cannot show: ten
thousand histories, fifty thousand runs, outages to order. What it prints has the form of the
real commands (Slurm 22.05); what it knows itself is the oracle, never what it printed.
"""

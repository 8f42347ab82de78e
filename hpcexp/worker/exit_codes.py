"""How a worker tells the batch shell around it what should become of its job."""

START_AGAIN = 75
"""Stopped before its time limit, with work left (EX_TEMPFAIL of sysexits.h)."""
ASK_SLURM = 76
"""Asked to end by SIGTERM, with work left: only Slurm knows whether it was preempted."""
UNWRITTEN = 1
"""A run's directory does not say how the run ended, such as on a full disk."""

"""Runs whose training is not hpcexp's: started as a process, followed by what it reports.

Whatever trains, a command, a function or a Lightning module, is a child process that gets a
file with all it needs to know, appends a line for each row of metrics to another, and is asked
to stop by a third and by a signal. Its rows, status and end are written by the worker, through
the same sink as those of hpcexp's own loop.
"""

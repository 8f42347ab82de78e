"""`hpcexp doctor`: does this machine, this directory and this cluster do what hpcexp relies on?"""

"""From a template to running jobs: planning, submission, and what becomes of the jobs."""

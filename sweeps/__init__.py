"""Several runs of main.py: the processes, the script that all sweeps share, and what pipelines make of their results."""

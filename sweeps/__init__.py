"""Runs several trainings of main.py: processes, the skeleton of the scripts, and results of pipelines."""

"""Runs several trainings of main.py: their processes, the skeleton of the scripts, and the results of pipelines."""

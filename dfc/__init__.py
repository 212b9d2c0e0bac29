"""Holds system 2 behind main.py: networks with feedback weights, their controller, and how W and Q learn."""

"""Holds system 2 behind main.py: networks with feedback weights, the controller and its steady state, and how W and Q learn."""

"""Holds system 1 behind run.py: the learner of invertible networks, its regulariser and its measurements."""

"""Holds system 1 behind run.py: how a learning rule trains an invertible network, its regulariser, and what is measured."""

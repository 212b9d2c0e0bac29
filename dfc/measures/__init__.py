"""Holds what system 2 measures in addition to loss and accuracy, and where it is written."""

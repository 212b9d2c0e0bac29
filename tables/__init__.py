"""Puts runs into tables: published cells, run folders, their comparison, and the page of a report."""

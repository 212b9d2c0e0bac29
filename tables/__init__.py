"""Runs as tables: what is published, what run folders hold in one vocabulary, how the two compare, and the page that shows it."""

"""Holds the parts that both systems share; they import neither rules nor networks."""

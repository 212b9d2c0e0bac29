"""Draws figures, one file per figure: each reads run folders or measured numbers; none trains."""

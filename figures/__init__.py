"""One file per figure: each reads run folders or measured numbers and draws them; none trains."""

"""One file a figure: each reads run folders and draws; none trains."""

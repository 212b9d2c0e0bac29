"""Parts shared by both systems; they import neither rules nor networks."""

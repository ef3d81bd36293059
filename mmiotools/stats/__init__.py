"""stats: what a trace holds (info) and whether it is complete (check)."""

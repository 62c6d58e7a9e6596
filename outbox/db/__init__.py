"""Database helpers that are not models: bulk statements, the clock, vendor code."""

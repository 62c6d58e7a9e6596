"""A database trigger, for tests only, that refuses unlawful changes of a recipient's state."""

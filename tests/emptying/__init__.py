"""A `flush` for tests only, which empties the tables that have rows and leaves the others alone."""

"""The operations dashboard: the whole outbox on one page."""

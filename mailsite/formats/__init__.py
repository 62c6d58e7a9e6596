"""Formats of times in 24 hours and with seconds, as the pages of the outbox show them."""

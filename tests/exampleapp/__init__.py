"""A small shop: a third-party app that sends email through Django's API only."""

"""An email outbox for Django: messages are rows, and nothing is lost, duplicated or hidden."""

__version__ = "0.1.0"

"""Webhooks: signed calls that report changes of state to other programs."""

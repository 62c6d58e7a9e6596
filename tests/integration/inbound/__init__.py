"""Received messages and the messages that they are about, in a real database."""

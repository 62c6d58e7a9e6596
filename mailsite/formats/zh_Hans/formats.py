"""Formats in Simplified Chinese."""

DATETIME_FORMAT = "Y年n月j日 l H:i:s"
TIME_FORMAT = "H:i:s"

"""Formats in English."""

DATETIME_FORMAT = "D j M Y, H:i:s"
TIME_FORMAT = "H:i:s"

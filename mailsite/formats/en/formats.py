"""Formats in English."""

DATETIME_FORMAT = "D j M Y, H:i:s"
TIME_FORMAT = "H:i:s"
SHORT_DATETIME_FORMAT = "Y-m-d H:i:s"

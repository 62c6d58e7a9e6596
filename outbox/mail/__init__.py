"""Messages as bytes: addresses, MIME, and safe ways to display a message. No Django, no network."""

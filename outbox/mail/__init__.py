"""What is sent: addresses, MIME, and safe ways to look at a message. No Django, no network."""

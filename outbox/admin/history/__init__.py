"""The sent history: the list of all messages, its filters and search, and the page of a message."""

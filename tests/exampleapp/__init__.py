"""A small shop: the app of somebody else that mails through Django and knows no outbox."""

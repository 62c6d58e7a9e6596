"""Contacting other hosts on behalf of users: which addresses are allowed, and HTTP requests."""

from outbox.net.address import is_public
from outbox.net.http import Response, request

__all__ = ["Response", "is_public", "request"]

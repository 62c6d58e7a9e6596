"""The POP3 client (RFC 1939, RFC 2449, RFC 2595, RFC 5034), without I/O: bytes in, events out.

It knows no Django. Python's poplib rejects lines over 2,048 bytes, and has one time limit for all.
"""

"""Real servers of mailboxes for tests: Dovecot, and pop3d of GNU Mailutils.

Each has a configuration of its own, a certificate of a test authority, high ports on loopback, and
an unprivileged user. The Debian packages have the programs; their services need not run.
"""

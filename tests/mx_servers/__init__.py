"""Real servers that receive email for domains, for tests: Postfix and Exim.

Each has a configuration, a spool and a mailbox of its own in a temporary directory, and listens on
one high port at loopback addresses. The Debian packages conflict with each other, and installing
one starts a service. Therefore they are only unpacked: see `tests.mx_servers.unpack`.
"""

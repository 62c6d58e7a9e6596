"""Django's own tests of email, run against the outbox.

Its tests come from Django's source archive, fetched when they are run and never part of this
project. `wire` sends their messages through the backend and a worker to Django's own test server.
`stored` queues every message that they render and returns the source that the outbox stored.
"""

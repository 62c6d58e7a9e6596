"""Django's own mail suite, run against the outbox.

Its tests come from Django's source archive, fetched when they are run and never part of this
project. `wire` sends their mail through the backend and a worker to Django's own test server;
`stored` queues every message they render and gives them back what the outbox keeps.
"""

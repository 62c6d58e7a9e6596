"""Alarms: find what is wrong, record it, and notify staff, without the queue and without Redis.

`check.check` does all of it. The sweep of each host calls it when it is due (`schedule`), and
`outbox_check_health` does when no worker runs.

A process imports the modules that it uses: most processes make no check, and start sooner.
"""

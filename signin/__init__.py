"""Sign-in of the site: limits on attempts, sign-in sessions, a second factor, password resets.

The outbox works with any sign-in; a project that has its own does not install this app.
"""

"""What a database that is away raises, as opposed to one that refuses a row."""

from django.db import InterfaceError, OperationalError

DATABASE_AWAY = (OperationalError, InterfaceError)

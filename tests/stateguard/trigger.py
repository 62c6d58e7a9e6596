"""The trigger in SQL. It is generated from CHANGES, so that it can never allow more than the code.

It sees what no Python code can: bulk statements, raw SQL, and other processes on the same database.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

from outbox.models import CHANGES, Recipient

NAME = "outbox_recipient_state_guard"
MESSAGE = "this change of a recipient's state is not in CHANGES"
_QUOTED = MESSAGE.replace("'", "''")
_TABLE = Recipient._meta.db_table
_LAWFUL = ", ".join(
    f"'{before.value} {after.value}'" for before, states in CHANGES.items() for after in states
)
_UNLAWFUL = f"OLD.state <> NEW.state AND OLD.state || ' ' || NEW.state NOT IN ({_LAWFUL})"

_SQLITE = f"""
CREATE TRIGGER {NAME} BEFORE UPDATE OF state ON {_TABLE} WHEN {_UNLAWFUL}
BEGIN SELECT RAISE(ABORT, '{_QUOTED}'); END"""

# A check violation, which Django raises as an IntegrityError, as it does for SQLite's ABORT.
_POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{_QUOTED}: % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER {NAME} BEFORE UPDATE OF state ON {_TABLE} FOR EACH ROW
WHEN ({_UNLAWFUL}) EXECUTE FUNCTION {NAME}()"""

_EXISTS = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = %s",
    "postgresql": "SELECT 1 FROM pg_trigger WHERE tgname = %s",
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the trigger unless it exists.

    Creating it again would lock the table while workers of a test still use it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_EXISTS[connection.vendor], [NAME])
        if cursor.fetchone() is None:
            cursor.execute(_SQLITE if connection.vendor == "sqlite" else _POSTGRESQL)

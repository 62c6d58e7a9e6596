"""A sensitive message with a code in every place, and the search for these codes everywhere."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from dev.redis_server import RedisServer
from outbox import api
from outbox.db.packing import unpack
from outbox.models import Account, Message
from outbox.models.message import file_storage

CODES = {
    "subject": "739184",
    "text": "K7QX-94TB",
    "html": "hunter2-reset",
    "attachment": "PIN4417Z",
    "attachment name": "voucher58213",
    "recipient name": "Agent80917",
    "sender name": "Desk66120",
    "header": "ref29305x",
}
LINK = f"https://shop.example.com/reset/MQ/{CODES['text']}/"


def queue_planted(sender: Account, *addresses: str, **options: Any) -> Message:
    """Queue a sensitive message with all the codes."""
    handle = api.send(
        to=[f"{CODES['recipient name']} <{one}>" for one in addresses or ("bob@example.net",)],
        subject=f"Your code is {CODES['subject']}",
        text=f"Hello,\n\nuse {LINK} today.\n",
        html=f"<p>Your password is <b>{CODES['html']}</b>.</p>",
        attachments=[(f"{CODES['attachment name']}.txt", f"PIN: {CODES['attachment']}\n")],
        headers={"X-Reference": CODES["header"]},
        from_name=CODES["sender name"],
        account=sender,
        sensitive=True,
        **options,
    )
    return handle.message()


def traces(*, ignoring: tuple[str, ...] = ()) -> list[str]:
    """Return where a code is: in a table or in a file of the storage.

    `ignoring` names tables, and "files".
    """
    return [
        f"{place}: {name}"
        for place, content in (*_rows(ignoring), *(() if "files" in ignoring else _files()))
        for name, code in CODES.items()
        if any(form in content for form in forms(code))
    ]


def written_to(server: RedisServer) -> bytes:
    """Return what was ever written to a Redis, also what was read or deleted since."""
    files = (path for path in server.directory.rglob("*.aof") if path.is_file())
    return b"\n".join(path.read_bytes() for path in sorted(files))


def forms(code: str) -> Iterator[bytes]:
    """Yield a code as it is, as a search term has it, in Base64 and in quoted-printable."""
    raw = code.encode()
    yield from (raw, raw.lower(), "".join(f"={octet:02X}" for octet in raw).encode())
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw).rstrip(b"=")
        yield encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]


def _rows(ignoring: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table not in ignoring:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608  # ours
                for row in cursor.fetchall():
                    yield table, b"\n".join(map(_as_bytes, row))


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes | memoryview):
        stored = bytes(value)
        return unpack(stored) + stored
    return str(value).encode("utf-8", "surrogatepass")


def _files() -> Iterator[tuple[str, bytes]]:
    root = Path(file_storage().path("")) if hasattr(file_storage(), "path") else None
    assert root is not None
    assert str(settings.SCRATCH) in str(root), "the storage of the tests"
    for path in root.rglob("*"):
        if path.is_file():
            yield str(path), path.name.encode() + b"\n" + path.read_bytes()

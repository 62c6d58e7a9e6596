r"""The folder of sent messages by IMAP: the mailbox with the attribute \Sent (RFC 6154)."""

import imaplib
import threading
from contextlib import suppress
from datetime import datetime

from outbox.inbound.imap_connection import Client, Connection
from outbox.inbound.imap_login import logged_in, translated
from outbox.inbound.mail_server import Login, MailServerUnusableError, Timeouts
from outbox.net.stream import StreamError
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.masking import Masker


class ImapSentFolder:
    """The folder, in a session. `outbox.inbound.mail_server.SentFolder` explains the methods."""

    def __init__(self, client: Client, connection: Connection, masker: Masker) -> None:
        self._client = client
        self._connection = connection
        self._masker = masker
        connection.begin()
        with translated(connection, masker, "LIST"):
            self._name = client.find_special_folder(rb"\Sent")
        if self._name is None:
            raise MailServerUnusableError(Reason(ReasonCode.SENT_FOLDER_MISSING))

    def contains(self, message_id: str) -> bool:
        self._connection.begin()
        with translated(self._connection, self._masker, "SEARCH"):
            self._client.select_folder(self._name, readonly=True)
            self._connection.begin()
            return bool(self._client.search(["HEADER", "Message-ID", message_id]))

    def append(self, source: bytes, at: datetime) -> None:
        self._connection.begin()
        with translated(self._connection, self._masker, "APPEND"):
            self._client.append(self._name, source, [rb"\Seen"], at)

    def close(self) -> None:
        try:
            self._connection.begin_quit()
            with suppress(imaplib.IMAP4.error, StreamError):  # the messages are stored already
                self._client.logout()
        finally:
            self._connection.shutdown()


def open_folder(login: Login, timeouts: Timeouts, stop: threading.Event | None) -> ImapSentFolder:
    """Connect, log in and find the folder. Raise a MailServerError."""
    client, connection, masker = logged_in(login, timeouts, stop)
    try:
        return ImapSentFolder(client, connection, masker)
    except BaseException:
        connection.shutdown()
        raise

"""A mail server that accepts only the current tokens of an identity provider.

It rejects others with the replies of Google and of Microsoft.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Self

from outbox.testing.capabilities import EXTENSIONS, Capabilities
from outbox.testing.dialogue import Transaction
from outbox.testing.logins import TokenCheck
from outbox.testing.oauth import IdentityProvider
from outbox.testing.receiver import Receiver
from outbox.testing.serving import serving_in_thread

GOOGLE_REPLY = (
    "535 5.7.8 Username and Password not accepted. For more information, go to\n"
    "5.7.8 https://support.google.com/mail/?p=BadCredentials - gsmtp"
)
MICROSOFT_REPLY = "535 5.7.3 Authentication unsuccessful [AM0PR01CA0001.eurprd01.prod.outlook.com]"
_CHALLENGE = json.dumps({"status": "401", "schemes": "bearer", "scope": "https://mail.google.com/"})


class TokenMailServer:
    """The server. `messages` are the accepted transactions, in order."""

    def __init__(
        self,
        provider: IdentityProvider,
        style: str = "google",
        *,
        port: int = 0,
        reply: str = "",
        mechanisms: str = "XOAUTH2 OAUTHBEARER",
    ) -> None:
        self.messages: list[Transaction] = []
        self.logins: list[bool] = []  # whether each login succeeded
        self.refuses_all = False  # also current tokens, as where SMTP AUTH is disabled
        self.port = port
        self._provider = provider
        is_google = style == "google"
        tokens = TokenCheck(
            self._check,
            reply or (GOOGLE_REPLY if is_google else MICROSOFT_REPLY),
            _CHALLENGE if is_google else "",
        )
        self._capabilities = Capabilities(
            name="smtp.gmail.com" if is_google else "smtp.office365.com",
            extensions=(*EXTENSIONS, f"AUTH {mechanisms}"),
            tokens=tokens,
            login_required=True,
        )
        self._is_google = is_google
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.port = self._stack.enter_context(serving_in_thread(self._receiver, port=self.port))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _receiver(self) -> Receiver:
        return _TokenReceiver(self._capabilities, self)

    def _check(self, user: str, token: str) -> bool:
        is_accepted = not self.refuses_all and self._provider.is_current(user, token)
        self.logins.append(is_accepted)
        return is_accepted

    def reply_to(self, transaction: Transaction) -> str:
        """Store a message, and return the reply to its final dot."""
        self.messages.append(transaction)
        number = len(self.messages)
        if self._is_google:
            return f"250 2.0.0 OK  1700000000 a{number}-20020a1709.1 - gsmtp"
        return f"250 2.0.0 OK <AM0{number}@AM0PR01MB0001.eurprd01.prod.outlook.com> [Hostname=A]"


class _TokenReceiver(Receiver):
    def __init__(self, capabilities: Capabilities, server: TokenMailServer) -> None:
        super().__init__(capabilities)
        self._token_server = server

    def judge_message(self, transaction: Transaction) -> str:
        return self._token_server.reply_to(transaction)

"""What the readers of reports and of prose share about one message: its text and its original."""

from collections.abc import Sequence
from functools import cached_property

from outbox.inbound import signs
from outbox.inbound.address_text import first_address, report_address
from outbox.inbound.inspection import Action, RecipientReport
from outbox.inbound.notification import Candidate, Notification, candidates, read_notification
from outbox.inbound.received import Fields, Received
from outbox.inbound.verdict import classify
from outbox.mail.replies import bare_message_id
from outbox.mail.reply_kinds import Rule

_MAX_ADDRESS_FIELD = 2_000  # characters; a header block has up to 256 kB
_ID_FIELDS = ("x-microsoft-original-message-id", "message-id")
# The original is addressed to a mailing list, so that its To is not the failed recipient.
_LIST_FIELDS = frozenset(
    {"list-id", "list-post", "list-unsubscribe", "mailing-list", "x-mailing-list"}
)


class SubjectMatter:
    """A message and what is derived from it once."""

    def __init__(self, received: Received, rules: Sequence[Rule]) -> None:
        self.received = received
        self._rules = rules

    @cached_property
    def system(self) -> str:
        """Why the sender is a mail system, or ""."""
        return signs.system_sender(self.received)

    @cached_property
    def low_text(self) -> str:
        """The message's own text in lower case.

        It shows for most messages that their text need not be read as a notification.
        """
        return self.received.text.lower()

    @cached_property
    def notification(self) -> Notification:
        """The message's own text."""
        return read_notification(self.received.text)

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The addresses in the message's own text."""
        return candidates(self.notification)

    @cached_property
    def other_addresses(self) -> frozenset[str]:
        """The addresses of the sender, the reader and the original sender, in lower case."""
        values = (
            self.received.first("from"),
            self.received.first("to"),
            self.original_field("from"),
        )
        found = (first_address(value[:_MAX_ADDRESS_FIELD]) for value in values)
        return frozenset(address.casefold() for address in found if address)

    @property
    def original(self) -> Fields:
        """The header of the original message, enclosed or copied into the text."""
        return self.received.enclosed_fields or self.notification.original

    def original_field(self, name: str) -> str:
        """Return a field of the original message, or ""."""
        if not self.received.enclosed_fields and name not in self.low_text:
            return ""
        return next((value for found, value in self.original if found == name), "")

    @property
    def original_message_id(self) -> str:
        """The Message-ID of the original message, or ""."""
        values = map(self.original_field, _ID_FIELDS)
        return next((bare_message_id(value) for value in values if value), "")

    @property
    def only_original_recipient(self) -> str:
        """The recipient in the header of the original message, if it is the only one."""
        names = {name for name, _ in self.original}
        values = [value for name, value in self.original if name == "to"]
        if "cc" in names or names & _LIST_FIELDS or len(values) != 1:
            return ""
        if values[0].count("@") == 1:
            return report_address(values[0])
        address = first_address(values[0])
        return address if "," not in values[0] and ";" not in values[0] else ""

    def report(
        self, address: str, action: Action, *, status: str = "", reason: str = "", final: str = ""
    ) -> RecipientReport:
        """Return the report about one recipient, with what the rules say of the reason."""
        verdict = classify(reason, status, action, self.notification.low, self._rules)
        return RecipientReport(
            address,
            action,
            verdict.status,
            verdict.effect,
            verdict.reason,
            verdict.rule,
            final,
        )

"""What a notification contains, as JSON and as text."""

import datetime as dt
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext, ngettext

from outbox.api.alarms.shown import ShownAlarm
from outbox.conf import get_conf


@dataclass(frozen=True, slots=True)
class Payload:
    """The alarms of one notification, the host that sends it and the time of the database."""

    alarms: Sequence[ShownAlarm]
    host: str
    now: dt.datetime
    id: str = field(default_factory=lambda: f"alarm_{secrets.token_hex(16)}")

    @property
    def subject(self) -> str:
        """The number of alarms that are open, or that all of them are cleared."""
        count = sum(one.alarm.cleared_at is None for one in self.alarms)
        if not count:
            return gettext("Outbox: alarms cleared")
        text = ngettext("Outbox: %(count)d alarm", "Outbox: %(count)d alarms", count)
        return text % {"count": count}

    def lines(self) -> Iterator[str]:
        """Yield the alarms as text."""
        for one in self.alarms:
            if one.alarm.cleared_at is not None:
                yield gettext("Cleared: %(sentence)s") % {"sentence": one.sentence}
                continue
            label = one.alarm.get_severity_display()
            yield gettext("%(severity)s: %(sentence)s") % {
                "severity": label.capitalize(),
                "sentence": one.sentence,
            }
            if one.what_to_do:
                yield f"  {one.what_to_do}"

    def text(self) -> str:
        """Return subject and lines."""
        return "\n".join([self.subject, *self.lines()])

    def body(self) -> bytes:
        """Return the JSON. Its member `text` is what chat systems display."""
        described = {
            "type": "outbox.alarms",
            "id": self.id,
            "timestamp": self.now.isoformat(),
            "site": get_conf().site_url,
            "host": self.host,
            "text": self.text(),
            "alarms": [one.as_dict() for one in self.alarms],
        }
        return json.dumps(described, ensure_ascii=False).encode()

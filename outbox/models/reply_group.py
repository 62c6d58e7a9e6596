"""Reply groups: the failures that have the same normalized server reply, or the same reason."""

from collections.abc import Iterable, Sequence

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.fields import DatabaseTimeField
from outbox.mail.search_terms import terms_of
from outbox.mail.server_replies import ENHANCED_MAX, FailureKind, NormalizedReply
from outbox.models.terms import Phrase, TermsField, TermsIndex, Wanted

MAX_GROUPS = 20_000  # a server may invent any number of replies


class ReplyKind(models.TextChoices):
    """What the failures of a group are about."""

    RECIPIENT = FailureKind.RECIPIENT.value, _("recipient")
    CONTENT = FailureKind.CONTENT.value, _("content")
    INFRASTRUCTURE = FailureKind.INFRASTRUCTURE.value, _("our infrastructure")
    UNKNOWN = FailureKind.UNKNOWN.value, _("unknown")


class ReplyGroup(models.Model):
    """One normalized reply. Many recipients have the key, so that few rows have its words."""

    key = models.BigIntegerField(primary_key=True)  # `NormalizedReply.key`
    code = models.PositiveSmallIntegerField()  # 0: no reply
    enhanced = models.CharField(max_length=ENHANCED_MAX, blank=True)
    text = models.TextField(blank=True)  # normalized; without a reply, the code of the reason
    kind = models.CharField(max_length=14, choices=ReplyKind, blank=True)
    words = TermsField()  # of the text
    first_seen_at = DatabaseTimeField(auto_now_add=True)
    last_seen_at = DatabaseTimeField(auto_now=True)  # exact to an hour

    class Meta:
        verbose_name = _("group of server replies")
        verbose_name_plural = _("groups of server replies")
        indexes = [
            # Search by the words of a reply, over all owners.
            TermsIndex(fields=["words"], name="outbox_reply_words"),
            # Sweep: groups that no failure had for long.
            models.Index(fields=["last_seen_at"], name="outbox_reply_unseen"),
        ]

    def __str__(self) -> str:
        return f"{self.code or ''} {self.text}".strip()


def with_words(wanted: Sequence[Phrase]) -> models.QuerySet[ReplyGroup]:
    """Return the groups whose reply has all of these terms, or rows of terms."""
    every = Wanted(tuple((terms,) for terms in wanted))
    return ReplyGroup.objects.filter(words__has=every).exclude(code=0)


def store(groups: Iterable[tuple[NormalizedReply, FailureKind]], using: str) -> set[int]:
    """Write groups, or that they were seen now; return the keys of those that are stored.

    Those that are missing found no room. A group without a text or without a reply always does.
    """
    every = list(groups)
    stored = with_room(every, using)
    write([one for one in every if one[0].key in stored], using)
    return stored


def with_room(groups: Iterable[tuple[NormalizedReply, FailureKind]], using: str) -> set[int]:
    """Return the keys of the groups that are stored, or for which there is room."""
    by_key = {reply.key: reply for reply, _ in groups}
    rows = ReplyGroup.objects.using(using)
    stored = set(rows.filter(pk__in=by_key).values_list("pk", flat=True))
    room = MAX_GROUPS - rows.count()
    for key, reply in by_key.items():
        if key not in stored and (room > 0 or not reply.text or not reply.code):
            stored.add(key)
            room -= 1
    return stored


def write(groups: Iterable[tuple[NormalizedReply, FailureKind]], using: str) -> None:
    """Write groups, or that they were seen now."""
    by_key = {reply.key: (reply, kind) for reply, kind in groups}
    # In the order of the keys, so that two workers never wait for each other.
    ReplyGroup.objects.using(using).bulk_create(
        [_row(key, *by_key[key]) for key in sorted(by_key)],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["last_seen_at"],
    )


def _row(key: int, reply: NormalizedReply, kind: FailureKind) -> ReplyGroup:
    return ReplyGroup(
        key=key,
        code=reply.code,
        enhanced=reply.enhanced,
        text=reply.text,
        kind=kind.value,
        words=list(terms_of(reply.text)) if reply.code else [],
    )

"""Search entries: those of drafts are written at once, those of queued messages soon."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from outbox import api
from outbox.delivery.sweep import sweep
from outbox.mail.search_terms import terms_asked
from outbox.models import Account, Message, SearchEntry, SearchMark, SiteEntry
from outbox.models.search import (
    FACT,
    PEOPLE,
    SENDER,
    SUBJECT,
    body_term,
    has_phrase,
    index_new,
)
from outbox.models.terms import MAX_TERMS, Wanted, Whole
from tests.shares import share

DATE = "Tue, 24 Nov 2026 12:00:00 +0000"
pytestmark = pytest.mark.django_db


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna")


@pytest.fixture
def account(anna: User) -> Account:
    return Account.objects.create(
        owner=anna, name="Work", from_name="Anna", from_address="anna@example.com", host="h"
    )


def queued(account: Account, owner: User | None, subject: str, text: str = "") -> int:
    """Queue a message as an app does."""
    head = f"From: anna@example.com\r\nDate: {DATE}\r\nSubject: {subject}\r\n\r\n"
    source = f"{head}{text}\r\n".encode()
    outgoing = api.Outgoing(
        source=source,
        envelope_sender="",
        recipients=[api.OutgoingRecipient("jane.doe@example.org", name="Jané D'Öe")],
        account=account,
        owner=owner,
        subject=subject,
        from_header="Anna <anna@example.com>",
        tags=["Invoice"],
    )
    return api.queue_ids([outgoing])[0]


def found(owner: User, words: str, kinds: Sequence[str] = (SUBJECT,)) -> set[int]:
    terms = terms_asked(words)
    entries = SearchEntry.objects.filter(head__has=has_phrase(owner.pk, kinds, terms))
    return set(entries.values_list("pk", flat=True))


def found_inside(owner: User, words: str) -> set[int]:
    phrase = tuple(body_term(owner.pk, term) for term in terms_asked(words))
    entries = SearchEntry.objects.filter(body__has=Wanted(((phrase,),)))
    return set(entries.values_list("pk", flat=True))


PLACES = [
    ("figu", (SUBJECT,), True),
    ("Figures October", (SUBJECT,), True),
    ("October Figures", (SUBJECT,), False),
    ("京都", (SUBJECT,), True),
    ("京", (SUBJECT,), True),
    ("東都", (SUBJECT,), False),
    ("jane", (PEOPLE,), True),
    ("jane", (SUBJECT,), False),
    ("jane", (SUBJECT, PEOPLE), True),
    ("JANÉ D", (PEOPLE,), True),
    ("anna", (SENDER,), True),
]


@pytest.mark.parametrize(("words", "kinds", "is_found"), PLACES)
def test_a_message_is_found_by_the_part_that_contains_a_word(
    anna: User, account: Account, words: str, kinds: tuple[str, ...], is_found: bool
) -> None:
    pk = queued(account, anna, "Figures (October) 東京都")
    index_new("default", 10)
    assert found(anna, words, kinds) == ({pk} if is_found else set())


@pytest.mark.parametrize("term", ["jane.doe@example.org", "jane.doe@ex", "@example.org", "@exam"])
def test_a_recipient_is_found_by_address_and_domain(
    anna: User, account: Account, term: str
) -> None:
    pk = queued(account, anna, "x")
    index_new("default", 10)
    wanted = has_phrase(anna.pk, (PEOPLE,), [term])
    assert SearchEntry.objects.filter(head__has=wanted).get().pk == pk


@pytest.mark.parametrize("fact", ["tag=invoice", "account="])
def test_facts_are_found_like_words(anna: User, account: Account, fact: str) -> None:
    queued(account, anna, "x")
    index_new("default", 10)
    wanted = has_phrase(anna.pk, (FACT,), [fact])
    assert SearchEntry.objects.filter(head__has=wanted).exists()


def test_every_group_has_to_match(anna: User, account: Account) -> None:
    queued(account, anna, "Figures October")
    index_new("default", 10)

    def has(*words: str) -> bool:
        groups = [has_phrase(anna.pk, (SUBJECT, PEOPLE), [word]).groups[0] for word in words]
        return SearchEntry.objects.filter(head__has=Wanted(tuple(groups))).exists()

    assert has("october", "jane", "fig")
    assert not has("october", "joe")


def test_a_body_is_found_in_every_script(anna: User, account: Account) -> None:
    pk = queued(account, anna, "x", "Please pay the invoice 2026-113, 谢谢合作 – it's due")
    index_new("default", 10)
    for words in ("invoice", "pay the inv", "2026 113", "谢谢", "谢合", "it s due"):
        assert found_inside(anna, words) == {pk}, words
    assert found_inside(anna, "invoice pay") == set()
    assert found_inside(anna, "谢作") == set()


@pytest.mark.parametrize(
    "text",
    ["it's", "a\\b c\\", "x' | !y:* & z", "%_ %% {}", "\\x00", "'; DROP TABLE x; --", "𠀀\ud83d"],
)
def test_no_text_breaks_an_entry_or_a_query(anna: User, account: Account, text: str) -> None:
    storable = text.encode("utf-8", "ignore").decode()
    draft = api.save_draft(
        anna, api.DraftFields(account=account, to=storable, subject=storable, text=storable)
    )
    assert SearchEntry.objects.filter(pk=draft.pk).exists()
    term = text.replace(" ", "")
    SearchEntry.objects.filter(head__has=has_phrase(anna.pk, (PEOPLE,), [term])).count()


def test_a_search_finds_messages_of_its_own_user_only(anna: User, account: Account) -> None:
    ben = User.objects.create_user("ben")
    share(account, ben)
    pk = queued(account, ben, "Figures")
    index_new("default", 10)
    assert found(anna, "figures") == set()
    assert found(ben, "figures") == {pk}


def test_app_messages_have_only_a_site_wide_entry(account: Account) -> None:
    pk = queued(account, None, "Figures of 2026")
    assert index_new("default", 10) == 1
    assert not SearchEntry.objects.exists()
    terms = ("s:figures", "s:2026", "@example.org", "tag=invoice", f"account={account.pk}")
    for term in (*terms, "origin=api"):
        wanted = Wanted(((Whole([term]),),))
        assert SiteEntry.objects.filter(terms__has=wanted).get().pk == pk, term
    for term in ("s:jane", "jane.doe@example.org", "s:anna"):
        wanted = Wanted(((Whole([term]),),))
        assert not SiteEntry.objects.filter(terms__has=wanted).exists(), term


def test_a_composed_message_gets_a_site_wide_entry_when_it_is_queued(
    anna: User, account: Account
) -> None:
    fields = api.DraftFields(account=account, to="jane@example.com", subject="Plan", text="x")
    later = replace(fields, send_at=timezone.now() + dt.timedelta(days=1))
    draft = api.save_draft(anna, later)
    index_new("default", 10)
    assert not SiteEntry.objects.exists()
    api.send_draft(draft, actor=anna)
    index_new("default", 10)
    assert SiteEntry.objects.get().pk == draft.pk

    api.return_to_drafts(draft, actor=anna)  # only its owner sees a draft

    assert not SiteEntry.objects.exists()


def test_a_draft_is_found_by_its_last_saved_text_and_by_its_sent_text(
    anna: User, account: Account
) -> None:
    early = api.DraftFields(account=account, to="jane@example.com", text="early words")
    draft = api.save_draft(anna, early)
    assert found_inside(anna, "early") == {draft.pk}
    api.save_draft(anna, replace(early, text="late words"), draft=draft)
    assert found_inside(anna, "early") == set()
    sent = api.send_draft(draft, actor=anna)
    assert found_inside(anna, "late") == {draft.pk}
    assert SearchEntry.objects.get().listed_at == Message.objects.get(pk=sent.pk).listed_at


def test_an_incomplete_address_is_found_as_typed(anna: User) -> None:
    draft = api.save_draft(anna, api.DraftFields(to="jane@, Joe <joe@example.org>"))
    assert found(anna, "joe", (PEOPLE,)) == {draft.pk}


def test_the_sweep_continues_where_it_stopped(anna: User, account: Account) -> None:
    keys = [queued(account, anna, f"Mail {n}") for n in range(5)]
    assert index_new("default", 3) == 3
    assert SearchMark.objects.get().upto == keys[2]
    sweep("default")
    assert set(SearchEntry.objects.values_list("pk", flat=True)) == set(keys)
    assert index_new("default", 3) == 0


def test_a_message_that_was_committed_late_is_found(anna: User, account: Account) -> None:
    early = queued(account, anna, "Early")
    late = queued(account, anna, "Late")
    index_new("default", 10)
    SearchEntry.objects.filter(pk=early).delete()  # as if its transaction had committed only now
    SiteEntry.objects.filter(pk=early).delete()
    assert index_new("default", 10) == 1
    assert set(SearchEntry.objects.values_list("pk", flat=True)) == {early, late}


def test_a_very_long_body_is_found_by_its_beginning(anna: User, account: Account) -> None:
    words = "\r\n".join(f"w{n}" for n in range(MAX_TERMS + 500))
    pk = queued(account, anna, "x", words)
    index_new("default", 10)
    assert found_inside(anna, "w0 w1") == {pk}
    assert found_inside(anna, "w15000 w15001") == {pk}


def test_a_deleted_message_is_not_found(anna: User) -> None:
    draft = api.save_draft(anna, api.DraftFields(subject="Figures"))
    api.discard_draft(draft)
    assert not SearchEntry.objects.exists()

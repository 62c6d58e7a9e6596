"""`outbox_reindex` writes the search entries anew, whatever became of them."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from outbox import api
from outbox.models import Message, SearchEntry
from outbox.models.search import SUBJECT, has_phrase

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna")


def draft(person: User, subject: str) -> Message:
    return api.save_draft(person, api.DraftFields(to="jane@example.com", subject=subject))


def found(person: User, word: str) -> set[int]:
    wanted = has_phrase(person.pk, (SUBJECT,), [word])
    return set(SearchEntry.objects.filter(head__has=wanted).values_list("pk", flat=True))


def reindex(*words: str) -> str:
    out = StringIO()
    call_command("outbox_reindex", *words, stdout=out)
    return out.getvalue()


def test_entries_that_are_gone_come_back(anna: User) -> None:
    keys = {draft(anna, f"Figures {number}").pk for number in range(5)}
    SearchEntry.objects.all().delete()

    assert reindex("--at-once", "2") == "Messages that can be found: 5.\n"

    assert found(anna, "figures") == keys


def test_outdated_entries_are_replaced(anna: User) -> None:
    changed = draft(anna, "Figures")
    Message.objects.filter(pk=changed.pk).update(subject="Report")
    assert found(anna, "figures") == {changed.pk}

    reindex()

    assert found(anna, "figures") == set()
    assert found(anna, "report") == {changed.pk}


def test_a_message_that_lost_its_owner_is_in_no_index(anna: User) -> None:
    left = draft(anna, "Figures")
    Message.objects.filter(pk=left.pk).update(owner=None)

    reindex()

    assert not SearchEntry.objects.exists()


def test_it_prints_its_progress_if_verbose(anna: User) -> None:
    for number in range(3):
        draft(anna, f"Figures {number}")

    assert reindex("--at-once", "2", "--verbosity", "2").splitlines()[:2] == [
        "2 messages so far",
        "3 messages so far",
    ]

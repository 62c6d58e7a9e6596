"""Tokens are signed, short, and read back; nothing else is one."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.envelope import ENVID_MAX
from outbox.models.return_path import (
    LOCAL_MAX,
    ROOM,
    TOKEN_MAX,
    has_room,
    read_token,
    token_of,
    with_token,
)

LARGEST = 2**48 - 1
MOST = 2**16 - 1


@given(st.integers(1, LARGEST), st.integers(0, MOST))
def test_a_token_is_read_back(message_id: int, attempts: int) -> None:
    token = token_of(message_id, attempts)
    assert len(token) == TOKEN_MAX <= ENVID_MAX
    assert read_token(token) == (message_id, attempts)
    assert read_token(token.upper()) == (message_id, attempts)


@given(st.text())
def test_another_text_is_not_a_token(text: str) -> None:
    assert read_token(text) is None


@pytest.mark.parametrize("text", ["\u017f" * TOKEN_MAX, "\u0131" * TOKEN_MAX, "\u212a" * TOKEN_MAX])
def test_a_letter_whose_other_case_is_ascii_is_not_in_a_token(text: str) -> None:
    assert read_token(text) is None


def test_each_character_is_signed() -> None:
    token = token_of(7, 8)
    for place, char in enumerate(token):
        other = "b" if char == "a" else "a"
        assert read_token(f"{token[:place]}{other}{token[place + 1 :]}") is None
    assert read_token(token[:-1]) is None
    assert read_token(f"a{token}") is None


def test_a_token_does_not_show_how_many_messages_the_site_sends() -> None:
    first, second = token_of(1_000_000, 0), token_of(1_000_001, 0)
    alike = sum(one == other for one, other in zip(first, second, strict=True))
    assert alike < TOKEN_MAX // 2


def test_a_number_that_is_too_large_has_no_token() -> None:
    assert token_of(1, MOST + 1) == token_of(LARGEST + 1, 1) == ""
    assert with_token("bounces@example.org", "") == "bounces@example.org"


def test_a_key_that_was_removed_signs_nothing(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [old]}
    token = token_of(7, 8)
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [new, old]}
    assert read_token(token) == (7, 8)
    assert token_of(7, 8) != token
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [new]}
    assert read_token(token) is None


@pytest.mark.parametrize(("length", "fits"), [(ROOM, True), (ROOM + 1, False)])
def test_the_local_part_never_becomes_too_long(length: int, fits: bool) -> None:
    address = f"{'b' * length}@example.org"
    assert has_room(address) is fits
    local = with_token(address, token_of(LARGEST, MOST)).partition("@")[0]
    assert (len(local) <= LOCAL_MAX) is fits

"""The address in an ID token, and invalid ones."""

import base64
import json

import pytest

from outbox.oauth.identity import login_of


def id_token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.sig"


@pytest.mark.parametrize(
    ("claims", "login"),
    [
        ({"email": "a@b.example"}, "a@b.example"),
        ({"preferred_username": "a@b.example"}, "a@b.example"),
        ({"email": "a@b.example", "preferred_username": "c@d.example"}, "a@b.example"),
        ({"email": 5, "preferred_username": "c@d.example"}, "c@d.example"),
        ({"preferred_username": "a phone number"}, ""),
        ({"email": "a@b.example\n<script>"}, ""),
        ({"email": "a\u202e@b.example"}, ""),
        ([], ""),
    ],
)
def test_the_address_is_that_of_the_mailbox(claims: object, login: str) -> None:
    assert login_of(id_token(claims)) == login


@pytest.mark.parametrize(
    "given", [None, 5, "", "a.b", "a.b.c", "a.e30.c.d", "e30.ä.x", f"e30.{'[' * 9999}.x", ["a"]]
)
def test_an_invalid_id_token_names_no_user(given: object) -> None:
    assert login_of(given) == ""

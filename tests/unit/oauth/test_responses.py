"""Responses of a token endpoint with values that no provider should send."""

import json
from typing import Any

import pytest

from outbox.net import Response
from outbox.oauth.requests import _tokens


def response(**fields: Any) -> Response:
    body = json.dumps({"access_token": "access", **fields}).encode()
    return Response(status=200, reason="OK", body=body)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (float("nan"), 3600),
        (float("inf"), 3600),
        ("-Infinity", 3600),
        (10**400, 3600),
        (1e300, 30 * 86_400),
        (-5, 1),
        ("1800", 1800),
    ],
)
def test_the_lifetime_is_finite_and_bounded(given: object, seconds: float) -> None:
    assert _tokens("Lab", response(expires_in=given)).lifetime == seconds


@pytest.mark.parametrize("given", ["\ud800", "two words", "", 5, None, ["a"]])
def test_a_refresh_token_that_cannot_be_one_is_ignored(given: object) -> None:
    """The access token is not lost because of it."""
    found = _tokens("Lab", response(refresh_token=given))
    assert (found.access_token, found.refresh_token) == ("access", "")

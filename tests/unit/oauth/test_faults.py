"""What the responses of a token endpoint mean, without a network."""

import pytest

from outbox.oauth.faults import BY_NUMBER, Effect, fault_of

HELD = [
    pytest.param(400, {"error": "invalid_grant"}, "token_revoked", id="revoked"),
    pytest.param(400, {"error": "invalid_client"}, "token_client_rejected", id="wrong secret"),
    pytest.param(401, {"error": "invalid_client"}, "token_client_rejected", id="401 and an error"),
    pytest.param(401, {}, "token_client_rejected", id="401 alone"),
    pytest.param(400, {"error": "interaction_required"}, "token_revoked", id="interaction"),
    pytest.param(400, {"error": "consent_required"}, "token_revoked", id="consent"),
    pytest.param(401, {"error": "login_required"}, "token_revoked", id="sign-in"),
]
TROUBLE = [
    pytest.param(408, {}, id="408"),
    pytest.param(429, {"error": "rate_limit"}, id="429"),
    pytest.param(500, {"error": "invalid_grant"}, id="an error of the server names a rejection"),
    pytest.param(503, None, id="503 in HTML"),
    pytest.param(401, None, id="401 in HTML, as a proxy sends it"),
    pytest.param(400, {"error": "invalid_request"}, id="another error"),
    pytest.param(400, {"error": "temporarily_unavailable"}, id="temporarily unavailable"),
    pytest.param(400, {"error": {"no": "text"}}, id="an error of another type"),
    pytest.param(200, None, id="a page in HTML with the status 200"),
]


@pytest.mark.parametrize(("status", "content", "code"), HELD)
def test_rejections_hold_the_account(status: int, content: dict[str, object], code: str) -> None:
    fault = fault_of("Google", status, content)
    assert fault.effect is Effect.REJECTED
    assert fault.reason.code == code


@pytest.mark.parametrize(("status", "content"), TROUBLE)
def test_anything_else_is_trouble_of_the_service(
    status: int, content: dict[str, object] | None
) -> None:
    assert fault_of("Google", status, content).effect is Effect.UNAVAILABLE


@pytest.mark.parametrize("number", BY_NUMBER)
def test_errors_of_microsoft_are_explained(number: str) -> None:
    description = f"AADSTS{number}: The refresh token … Trace ID: 1-2-3"
    content = {"error": "invalid_grant", "error_description": description}
    fault = fault_of("Microsoft", 400, content)
    assert f"AADSTS{SAME_AS.get(number, number)}" in str(fault.reason)
    assert fault.effect is Effect.REJECTED


SAME_AS = {"50079": "50076"}  # both ask for another factor


def test_the_first_known_number_counts() -> None:
    """A description may name an error that caused another one."""
    content = {"error": "invalid_grant", "error_description": "AADSTS999999: AADSTS700082: old"}
    assert fault_of("Microsoft", 400, content).reason == BY_NUMBER["700082"]


def test_an_unknown_number_is_explained_by_the_error() -> None:
    content = {"error": "invalid_grant", "error_description": "AADSTS999999: new"}
    assert fault_of("Microsoft", 400, content).reason.code == "token_revoked"


def test_a_description_is_not_quoted() -> None:
    """It may contain addresses, and whatever a foreign server chooses."""
    content = {"error": "x <script>", "error_description": "secret-of-someone"}
    assert "secret" not in str(fault_of("Google", 400, content))
    assert "script" not in str(fault_of("Google", 400, content))

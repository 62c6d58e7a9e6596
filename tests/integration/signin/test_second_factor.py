"""The second factor: setting up, signing in at both pages, replay, recovery codes, requirement."""

import re

import pyotp
import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from outbox.db.clock import database_now
from outbox.models import AuditAction, AuditEntry
from outbox.web.recent_sign_in import AUTHENTICATED_AT
from signin import second_factor, throttle
from signin.models import Authenticator, RecoveryCode
from tests.integration.signin.conftest import ADMIN_LOGIN, LOGIN, PASSWORD, is_signed_in, sign_in

SETUP = "/accounts/security/second-factor/"
CODE = "/accounts/login/code/"


def code_of(user: User, *, steps: int = 0) -> str:
    """Return the code that the user's app shows, or showed some steps before."""
    authenticator = Authenticator.objects.get(user=user)
    now = database_now().timestamp()
    return str(pyotp.TOTP(authenticator.key).at(int(now) + steps * second_factor.STEP))


@pytest.fixture
def codes(root: User) -> list[str]:
    """The recovery codes of root, who has a second factor."""
    second_factor.propose(root)
    codes = second_factor.confirm(root, code_of(root, steps=-1))
    assert codes is not None
    return codes


def test_it_is_set_up_with_the_first_code(client: Client, root: User) -> None:
    client.force_login(root)
    page = client.get(SETUP).content.decode()
    key = Authenticator.objects.get().key
    assert key in page
    assert "data:image/svg" in page
    assert client.post(SETUP, {"code": "000000"}).status_code == 422
    assert not second_factor.is_on(root)
    page = client.post(SETUP, {"code": code_of(root)}).content.decode()
    shown = re.findall(r"<code>([a-z2-7-]+)</code>", page)
    assert len(shown) == second_factor.RECOVERY_CODES
    assert second_factor.is_on(root)
    assert AuditEntry.objects.filter(action=AuditAction.SECOND_FACTOR_ADDED).exists()


def test_the_key_and_the_codes_are_not_stored_in_the_clear(root: User, codes: list[str]) -> None:
    authenticator = Authenticator.objects.get()
    assert authenticator.key not in authenticator.key_encrypted
    stored = set(RecoveryCode.objects.values_list("digest", flat=True))
    assert not stored & set(codes)
    assert not any(code.replace("-", "") in digest for digest in stored for code in codes)


@pytest.mark.parametrize("page", [LOGIN, ADMIN_LOGIN])
def test_the_password_alone_signs_no_user_in(
    client: Client, root: User, codes: list[str], page: str
) -> None:
    response = client.post(f"{page}?next=/admin/", {"username": "root", "password": PASSWORD})
    assert response["Location"].startswith(f"{CODE}?next=")
    assert not is_signed_in(client)
    assert client.get("/admin/").status_code == 302
    response = client.post(response["Location"], {"code": code_of(root)})
    assert response.status_code == 302
    assert is_signed_in(client)


def test_a_code_is_accepted_once(client: Client, root: User, codes: list[str]) -> None:
    code = code_of(root)
    for expected in (302, 200):
        sign_in(client, "root")
        assert client.post(CODE, {"code": code}).status_code == expected
        client.post("/accounts/logout/")


@pytest.mark.parametrize("steps", [-3, 3])
def test_a_code_of_another_time_is_rejected(
    client: Client, root: User, codes: list[str], steps: int
) -> None:
    sign_in(client, "root")
    assert client.post(CODE, {"code": code_of(root, steps=steps)}).status_code == 200
    assert not is_signed_in(client)


def test_a_recovery_code_signs_in_once(client: Client, root: User, codes: list[str]) -> None:
    for expected in (302, 200):
        sign_in(client, "root")
        assert client.post(CODE, {"code": f" {codes[0].upper()} "}).status_code == expected
        client.post("/accounts/logout/")
    assert second_factor.codes_left(root) == second_factor.RECOVERY_CODES - 1
    assert AuditEntry.objects.filter(action=AuditAction.RECOVERY_CODE_USED).count() == 1


def test_codes_cannot_be_guessed(client: Client, root: User, codes: list[str]) -> None:
    sign_in(client, "root")
    for _ in range(throttle.BY_NAME.free):
        assert client.post(CODE, {"code": "000000"}).status_code == 200
    response = client.post(CODE, {"code": code_of(root)})
    assert response.status_code == 429
    assert not is_signed_in(client)


def test_the_right_password_is_valid_for_a_short_time(
    client: Client, root: User, codes: list[str]
) -> None:
    sign_in(client, "root")
    session = client.session
    key, backend, at = session["signin_pending"]
    session["signin_pending"] = [key, backend, at - 301]
    session.save()
    response = client.post(CODE, {"code": code_of(root)})
    assert response["Location"] == LOGIN
    assert not is_signed_in(client)


def test_a_code_without_a_password_is_not_enough(
    client: Client, root: User, codes: list[str]
) -> None:
    assert client.post(CODE, {"code": code_of(root)})["Location"] == LOGIN
    assert not is_signed_in(client)


def test_it_leads_to_no_other_site(client: Client, root: User, codes: list[str]) -> None:
    sign_in(client, "root")
    response = client.post(f"{CODE}?next=//evil.example/", {"code": code_of(root)})
    assert response["Location"] == "/"


@pytest.mark.parametrize("page", ["second-factor/off/", "recovery-codes/"])
def test_changes_need_the_password(client: Client, root: User, codes: list[str], page: str) -> None:
    client.force_login(root)
    session = client.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    assert client.post(f"/accounts/security/{page}").status_code == 403
    assert second_factor.is_on(root)
    assert client.get(SETUP).status_code == 403


def test_it_can_be_turned_off(client: Client, root: User, codes: list[str]) -> None:
    client.force_login(root)
    client.post("/accounts/security/second-factor/off/")
    assert not second_factor.is_on(root)
    assert not RecoveryCode.objects.exists()
    assert sign_in(Client(), "root") == 302


def test_new_recovery_codes_replace_the_old_ones(
    client: Client, root: User, codes: list[str]
) -> None:
    client.force_login(root)
    page = client.post("/accounts/security/recovery-codes/").content.decode()
    assert codes[0] not in page
    other = Client()
    sign_in(other, "root")
    assert other.post(CODE, {"code": codes[0]}).status_code == 200


def test_the_site_can_require_it_of_staff(
    client: Client, root: User, alice: User, settings: LazySettings
) -> None:
    settings.SECOND_FACTOR = "staff"
    client.force_login(root)
    for page in ("/admin/", "/", "/compose/"):
        assert client.get(page)["Location"] == SETUP
    assert client.get("/", headers={"hx-request": "true"})["HX-Redirect"] == SETUP
    client.get(SETUP)
    client.post(SETUP, {"code": code_of(root)})
    assert client.get("/admin/").status_code == 200
    client.force_login(alice)
    assert is_signed_in(client)


def test_after_the_time_for_the_code_the_sign_in_continues_to_the_same_page(
    client: Client, root: User, codes: list[str]
) -> None:
    expired = client.get(CODE, {"next": "/messages/7/?tab=source&x=1"})
    assert expired["Location"] == f"{LOGIN}?next=%2Fmessages%2F7%2F%3Ftab%3Dsource%26x%3D1"
    posted = client.post(f"{CODE}?next=/messages/7/", {"code": "000000"})
    assert posted["Location"] == f"{LOGIN}?next=%2Fmessages%2F7%2F"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:x", ""])
def test_it_does_not_continue_to_another_site(client: Client, db: None, target: str) -> None:
    assert client.get(CODE, {"next": target})["Location"] == LOGIN

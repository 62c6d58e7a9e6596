"""DKIM keys in the admin: they are generated there, and their private half is never shown."""

import html

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from outbox import api
from outbox.mail.dkim_keys import Algorithm
from outbox.models import AuditEntry, KeyState, SigningKey

LIST = "/admin/outbox/signingkey/"
FORM = {"domain": "Example.org", "algorithm": "ed25519-sha256", "selector": ""}

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> SigningKey:
    return api.generate_signing_key("example.org", Algorithm.RSA)


def run_action(client: Client, action: str, key: SigningKey) -> str:
    data = {"action": action, "_selected_action": [str(key.pk)]}
    return client.post(LIST, data, follow=True).content.decode()


def test_a_key_is_generated(staff: Client) -> None:
    response = staff.post(f"{LIST}add/", FORM | {"_continue": "1"}, follow=True)
    key = SigningKey.objects.get()
    assert (key.domain, key.algorithm, key.state) == ("example.org", "ed25519-sha256", "new")
    assert key.private_pem.startswith("-----BEGIN PRIVATE KEY-----")
    assert key.record_name in response.content.decode()
    entry = AuditEntry.objects.get(action="signing_key_added")
    assert (entry.actor_name, entry.target_name) == ("staff", key.record_name)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"domain": "nothing"}, "is not a domain"),
        ({"selector": "a b"}, "is not a selector"),
        ({"selector": "taken"}, "A key with this domain and selector exists."),
        ({"algorithm": "rsa-sha1"}, "is not one of the available choices"),
    ],
)
def test_a_mistake_is_explained(fields: dict[str, str], said: str, staff: Client) -> None:
    api.generate_signing_key("example.org", selector="taken")
    page = staff.post(f"{LIST}add/", FORM | fields).content.decode()
    assert said in page
    assert SigningKey.objects.count() == 1


def test_the_page_shows_the_record_with_copy_buttons_and_no_secret(
    staff: Client, key: SigningKey
) -> None:
    page = staff.get(f"{LIST}{key.pk}/change/").content.decode()
    assert f'data-copy="{html.escape(key.record_name)}"' in page
    assert f'data-copy="{html.escape(key.record_text)}"' in page
    assert "IN TXT &quot;v=DKIM1; k=rsa; p=" in page
    assert "outbox/copy.js" in page
    assert 'id="announce"' in page
    for secret in (key.private_encrypted, *key.private_pem.splitlines()[1:-1]):
        assert secret not in page
        assert secret not in staff.get(LIST).content.decode()


def test_a_key_is_not_edited(staff: Client, key: SigningKey) -> None:
    staff.post(f"{LIST}{key.pk}/change/", FORM | {"domain": "example.com", "state": "active"})
    same = SigningKey.objects.get()
    assert (same.domain, same.state, same.public_key) == ("example.org", "new", key.public_key)


def test_actions_activate_and_retire(staff: Client, key: SigningKey) -> None:
    assert "1 key signs messages within a minute." in run_action(staff, "activate", key)
    key.refresh_from_db()
    assert key.state == KeyState.ACTIVE
    assert "1 key was retired." in run_action(staff, "retire", key)
    key.refresh_from_db()
    assert key.state == KeyState.RETIRED
    changes = AuditEntry.objects.filter(action__startswith="signing", actor_name="staff")
    actions = changes.order_by("pk")
    assert list(actions.values_list("action", flat=True)) == [
        "signing_key_activated",
        "signing_key_retired",
    ]


def test_an_active_key_is_not_removed(staff: Client, key: SigningKey) -> None:
    api.activate_signing_key(key)
    staff.post(f"{LIST}{key.pk}/delete/", {"post": "yes"})
    data = {"action": "delete_selected", "_selected_action": [str(key.pk)], "post": "yes"}
    staff.post(LIST, data)
    assert SigningKey.objects.exists()


@pytest.mark.parametrize("by_action", [False, True])
def test_a_retired_key_is_removed(staff: Client, key: SigningKey, by_action: bool) -> None:
    if by_action:
        data = {"action": "delete_selected", "_selected_action": [str(key.pk)], "post": "yes"}
        staff.post(LIST, data)
    else:
        staff.post(f"{LIST}{key.pk}/delete/", {"post": "yes"})
    assert not SigningKey.objects.exists()
    assert AuditEntry.objects.filter(action="signing_key_removed", actor_name="staff").exists()


def test_those_who_may_only_view_change_nothing(onlooker: Client, key: SigningKey) -> None:
    everything = Permission.objects.get(codename="view_all_accounts")
    User.objects.get(username="onlooker").user_permissions.add(everything)
    assert onlooker.get(f"{LIST}{key.pk}/change/").status_code == 200
    assert onlooker.get(f"{LIST}add/").status_code == 403
    run_action(onlooker, "activate", key)
    onlooker.post(f"{LIST}{key.pk}/delete/", {"post": "yes"})
    key.refresh_from_db()
    assert key.state == KeyState.NEW

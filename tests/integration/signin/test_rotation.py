"""The keys of authenticators follow the secret keys of the site."""

import io

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from outbox.models.secrets import SecretUnreadableError
from signin import second_factor
from signin.models import Authenticator
from tests.integration.signin.conftest import is_signed_in, sign_in
from tests.integration.signin.test_second_factor import CODE, codes

__all__ = ["codes"]


def use_keys(settings: LazySettings, *keys: str) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "SECRET_KEYS": list(keys)}


def test_rotation_makes_the_old_key_superfluous(
    root: User, codes: list[str], settings: LazySettings
) -> None:
    old, new = settings.OUTBOX["SECRET_KEYS"][0], Fernet.generate_key().decode()
    key = Authenticator.objects.get().key
    use_keys(settings, new, old)
    call_command("outbox_rotate_secrets", stdout=io.StringIO())
    use_keys(settings, new)
    assert Authenticator.objects.get().key == key


def test_an_unreadable_key_is_reported_and_leaves_the_recovery_codes(
    client: Client, root: User, codes: list[str], settings: LazySettings
) -> None:
    use_keys(settings, Fernet.generate_key().decode())
    with pytest.raises(CommandError, match="authenticator of user"):
        call_command("outbox_rotate_secrets", stdout=io.StringIO())
    sign_in(client, "root")
    assert client.post(CODE, {"code": "123456"}).status_code == 200
    assert client.post(CODE, {"code": codes[0]}).status_code == 302
    assert is_signed_in(client)


def test_an_unreadable_proposal_is_replaced(
    client: Client, root: User, settings: LazySettings
) -> None:
    second_factor.propose(root)
    use_keys(settings, Fernet.generate_key().decode())
    client.force_login(root)
    assert client.get("/accounts/security/second-factor/").status_code == 200


def test_a_key_cannot_be_moved_to_another_user(root: User, alice: User, codes: list[str]) -> None:
    of_root = Authenticator.objects.get(user=root)
    moved = Authenticator(user=alice, key_encrypted=of_root.key_encrypted)
    with pytest.raises(SecretUnreadableError):
        assert moved.key

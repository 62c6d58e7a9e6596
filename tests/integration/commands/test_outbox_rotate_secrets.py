"""`outbox_rotate_secrets` encrypts every secret with the newest key, so that old keys can go."""

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from outbox import api
from outbox.mail.dkim_keys import Algorithm
from outbox.models import Account, OAuthProvider, OAuthToken, Webhook

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def use(settings: LazySettings, *keys: str) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "SECRET_KEYS": list(keys)}


def account(name: str, secret: str) -> Account:
    made = Account(name=name, from_address="a@example.com", host="mail.example.com")
    made.secret = secret
    made.save()
    return made


def rotate() -> str:
    out = StringIO()
    call_command("outbox_rotate_secrets", stdout=out)
    return out.getvalue()


def test_afterwards_the_old_key_is_not_needed(settings: LazySettings) -> None:
    use(settings, OLD)
    made = account("shop", "swordfish")
    account("without a password", "")
    hook = Webhook(name="the warehouse", url="https://warehouse.example.com/")
    hook.secret = "between us"
    hook.save()
    key = api.generate_signing_key("example.com", Algorithm.ED25519)
    pem = key.private_pem

    use(settings, NEW, OLD)
    assert rotate() == "Encrypted again: 3.\n"

    use(settings, NEW)
    made.refresh_from_db()
    hook.refresh_from_db()
    key.refresh_from_db()
    assert (made.secret, hook.secret) == ("swordfish", "between us")
    assert key.private_pem == pem


def test_what_no_key_opens_is_named_and_left_alone(settings: LazySettings) -> None:
    use(settings, OLD)
    lost = account("lost", "swordfish")
    use(settings, NEW)
    kept = account("kept", "hunter2")

    with pytest.raises(CommandError, match="lost"):
        rotate()

    before = lost.secret_encrypted
    lost.refresh_from_db()
    kept.refresh_from_db()
    assert (lost.secret_encrypted, kept.secret) == (before, "hunter2")


def test_void_tokens_are_skipped(settings: LazySettings) -> None:
    use(settings, OLD)
    provider = OAuthProvider.objects.create(kind="google", name="Google", client_id="ours")
    token = OAuthToken(account=account("mailbox", ""), provider=provider)
    token.access_encrypted = token.encrypted(access="for an hour", refresh="")["access_encrypted"]
    token.save()
    Account.objects.update(host="another.example.com")
    assert rotate() == "Encrypted again: 0.\n"


def test_providers_and_tokens_are_encrypted_again(settings: LazySettings) -> None:
    use(settings, OLD)
    provider = OAuthProvider(kind="google", name="Google", client_id="ours")
    provider.secret, provider.key = "the client's", "a certificate"
    provider.save()
    token = OAuthToken(account=account("mailbox", ""), provider=provider)
    columns = token.encrypted(access="for an hour", refresh="for months")
    token.access_encrypted = columns["access_encrypted"]
    token.refresh_encrypted = columns["refresh_encrypted"]
    token.save()

    use(settings, NEW, OLD)
    assert rotate() == "Encrypted again: 4.\n"

    use(settings, NEW)
    token = OAuthToken.objects.get()
    assert (token.access_token, token.refresh_token) == ("for an hour", "for months")
    assert (token.provider.secret, token.provider.key) == ("the client's", "a certificate")

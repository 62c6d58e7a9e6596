"""`outbox_dkim` makes and manages DKIM keys, and never prints a private one."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from outbox import api
from outbox.models import AuditEntry, KeyState, SigningKey

pytestmark = pytest.mark.django_db


def run(*args: str) -> str:
    out = StringIO()
    call_command("outbox_dkim", *args, stdout=out)
    return out.getvalue()


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


def test_it_makes_both_keys_and_prints_their_records() -> None:
    printed = run("Example.ORG", "--generate", "both")
    rsa, ed25519 = SigningKey.objects.order_by("-algorithm")
    assert (rsa.algorithm, ed25519.algorithm) == ("rsa-sha256", "ed25519-sha256")
    for key in (rsa, ed25519):
        assert (key.domain, key.state) == ("example.org", KeyState.NEW)
        [line] = [one for one in printed.splitlines() if one.startswith(f"{key.selector}._domain")]
        name, _, value = line.partition(" IN TXT ")
        assert name == f"{key.selector}._domainkey.example.org."
        assert "".join(re.findall(r'"([^"]*)"', value)) == key.record_text
        assert all(len(one) <= 255 for one in re.findall(r'"([^"]*)"', value))
    assert actions() == ["signing_key_added"] * 2


def test_no_private_key_is_printed_stored_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    printed = run("example.org", "--generate", "both") + run() + run("--json") + caplog.text
    for key in SigningKey.objects.all():
        pem = key.private_pem.splitlines()
        assert pem[0] == "-----BEGIN PRIVATE KEY-----"
        for line in pem:
            assert line not in printed
            assert line not in key.private_encrypted
        assert key.private_encrypted not in printed
    assert "PRIVATE" not in printed + repr(list(AuditEntry.objects.values()))


def test_a_private_key_is_bound_to_its_name() -> None:
    run("example.org", "--generate", "ed25519")
    key = SigningKey.objects.get()
    key.domain = "example.com"
    with pytest.raises(Exception, match="cannot be read"):
        _ = key.private_pem


def test_a_key_is_activated_retired_and_removed() -> None:
    run("example.org", "--generate", "ed25519", "--selector", "S1")
    assert "are signed with it" in run("example.org", "--activate", "s1")
    key = SigningKey.objects.get()
    assert (key.state, key.activated_at is not None) == (KeyState.ACTIVE, True)
    with pytest.raises(CommandError, match="retire it first"):
        run("example.org", "--remove", "s1")
    run("example.org", "--retire", "s1")
    key.refresh_from_db()
    assert (key.state, key.retired_at is not None) == (KeyState.RETIRED, True)
    assert "was removed" in run("example.org", "--remove", "s1")
    assert not SigningKey.objects.exists()
    assert actions() == [
        "signing_key_added",
        "signing_key_activated",
        "signing_key_retired",
        "signing_key_removed",
    ]


def test_a_retired_key_can_be_activated_again() -> None:
    run("example.org", "--generate", "ed25519", "--selector", "s1")
    for action in ("--activate", "--retire", "--activate"):
        run("example.org", action, "s1")
    key = SigningKey.objects.get()
    assert (key.state, key.retired_at) == (KeyState.ACTIVE, None)


def test_a_second_key_in_a_month_gets_another_selector() -> None:
    for _ in range(2):
        run("example.org", "--generate", "ed25519")
    first, second = SigningKey.objects.order_by("pk")
    assert second.selector == f"{first.selector}-2"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--generate", "rsa"], "Add the domain"),
        (["nothing", "--generate", "rsa"], "not a domain"),
        (["example.org", "--generate", "rsa", "--selector", "a b"], "not a selector"),
        (["example.org", "--generate", "both", "--selector", "a"], "--selector is for"),
        (["example.org", "--generate", "ed25519", "--selector", "taken"], "already has a key"),
        (["example.org", "--activate", "missing"], "no key with the selector"),
        (["example.org", "--retire", "taken"], "not in use yet"),
    ],
)
def test_a_mistake_is_explained(args: list[str], said: str) -> None:
    api.generate_signing_key("example.org", selector="taken")
    with pytest.raises(CommandError, match=said):
        run(*args)
    assert SigningKey.objects.count() == 1


def test_without_secret_keys_nothing_is_generated(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": []}
    with pytest.raises(CommandError, match="SECRET_KEYS"):
        run("example.org", "--generate", "ed25519")


def test_the_list_is_available_as_json() -> None:
    assert "There is no key" in run()
    run("example.org", "--generate", "ed25519")
    key = SigningKey.objects.get()
    found: list[dict[str, Any]] = json.loads(run("--json"))
    [facts] = found
    assert facts["record_name"] == key.record_name
    assert facts["record_text"] == key.record_text
    assert facts["state"] == "new"
    assert json.loads(run("example.com", "--json")) == []

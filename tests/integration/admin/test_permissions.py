"""The permission matrix: every address of the admin, for each group of staff, by account.

A user is in one of the groups that the migration creates, and in a team. The messages of the team's
account are its own, those of another account are not. `docs/permissions.md` shows the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.delivery import sweep
from outbox.models import (
    Account,
    Alarm,
    Attempt,
    AuditAction,
    AuditEntry,
    BulkOperation,
    Destination,
    Mailbox,
    Message,
    OAuthProvider,
    Pause,
    Quota,
    Recipient,
    SigningKey,
    State,
    Suppression,
    Template,
    Webhook,
    WebhookCall,
    Worker,
)
from outbox.models.roles import (
    ADMINISTRATORS,
    GROUPS,
    OPERATORS,
    VIEWERS,
    as_markdown,
    permissions_of,
)
from tests.integration.admin.conftest import queue
from tests.integration.web.conftest import signed_in
from tests.received import letter, receive

ROOT = Path(__file__).resolve().parents[3]
migration = import_module("outbox.migrations.0002_groups")

OPEN, NO, GONE, MOVED = 200, 403, 404, 302
# What a user without access to a row gets: the admin goes to its index with a notice.
ELSEWHERE = MOVED
EACH = tuple[int, int, int]  # viewers, operators, administrators


@dataclass(frozen=True)
class Address:
    """An address of the admin, and the status for each group: of the own account, and of others."""

    name: str
    of: str = ""  # the row in the address
    own: EACH = (OPEN, OPEN, OPEN)
    other: EACH | None = None  # None: the same
    post: dict[str, Any] | None = None
    extra: tuple[str, ...] = ()
    query: str = ""

    @property
    def id(self) -> str:
        return f"{'POST ' if self.post is not None else ''}{self.name}{self.query}"


ALL, SOME, ADMIN, NO_GROUP = (OPEN,) * 3, (NO, OPEN, OPEN), (NO, NO, OPEN), (NO,) * 3
HIDDEN = (ELSEWHERE, ELSEWHERE, OPEN)  # of an account that viewers and operators do not see
MISSING = (GONE, GONE, OPEN)
POSTED = {"post": "yes"}


def read_only(model: str, rows: EACH = ALL, other: EACH | None = HIDDEN) -> Iterator[Address]:
    """Yield the addresses of a page that only shows rows."""
    yield Address(f"{model}_changelist", own=rows)
    yield Address(f"{model}_add", own=NO_GROUP)
    yield Address(f"{model}_change", model, own=rows, other=other)
    yield Address(f"{model}_history", model, own=rows, other=other)
    yield Address(f"{model}_delete", model, own=NO_GROUP)


def settings_of_site(model: str) -> Iterator[Address]:
    """Yield the addresses of rows that administrators edit."""
    yield Address(f"{model}_changelist", own=ADMIN)
    yield Address(f"{model}_add", own=ADMIN)
    for page in ("change", "history", "delete"):
        yield Address(f"{model}_{page}", model, own=ADMIN)


ADDRESSES = [
    *read_only("message"),
    Address("message_export", own=ALL, extra=("csv",)),
    Address("message_source", "message", own=ADMIN, other=MISSING),
    Address("message_transcript", "message", own=ALL, other=MISSING),
    Address("message_record", "message", own=ALL, other=MISSING),
    Address("message_part", "message", own=ADMIN, other=MISSING, extra=("1",)),
    *read_only("inboundmessage"),
    Address("inboundmessage_source", "inboundmessage", own=ADMIN, other=MISSING),
    Address("inboundmessage_part", "inboundmessage", own=ADMIN, other=MISSING, extra=("1",)),
    *read_only("recipient"),
    *read_only("attempt"),
    *read_only("destination"),
    *read_only("alarm", (NO, NO, OPEN), None),
    *read_only("worker", (NO, NO, OPEN), None),
    *read_only("auditentry", (NO, NO, OPEN), None),
    *read_only("webhookcall", (NO, NO, OPEN), None),
    *read_only("bulkoperation"),
    Address("bulkoperation_confirm", "proposed", own=SOME, other=(GONE, GONE, GONE)),
    Address("bulkoperation_cancel", "proposed", own=SOME, other=MISSING),
    Address("bulkoperation_live", "proposed", own=ALL, other=MISSING),
    Address("suppression_changelist"),
    Address("suppression_add", own=SOME),
    Address("suppression_change", "suppression", other=HIDDEN),
    Address("suppression_history", "suppression", other=HIDDEN),
    Address("suppression_delete", "suppression", own=SOME, other=(NO, ELSEWHERE, OPEN)),
    Address("suppression_export"),
    Address("suppression_import", own=SOME),
    Address("account_changelist", own=SOME),
    Address("account_add", own=ADMIN),
    Address("account_change", "account", own=SOME, other=(NO, ELSEWHERE, OPEN)),
    Address("account_history", "account", own=SOME, other=(ELSEWHERE, ELSEWHERE, OPEN)),
    Address("account_delete", "account", own=ADMIN),
    Address("mailbox_changelist", own=SOME),
    Address("mailbox_add", own=ADMIN),
    Address("mailbox_change", "mailbox", own=SOME, other=(NO, ELSEWHERE, OPEN)),
    Address("mailbox_history", "mailbox", own=SOME, other=(ELSEWHERE, ELSEWHERE, OPEN)),
    Address("mailbox_delete", "mailbox", own=ADMIN),
    *settings_of_site("template"),
    *settings_of_site("webhook"),
    *settings_of_site("quota"),
    *settings_of_site("signingkey"),
    *settings_of_site("oauthprovider"),
    Address("operations_changelist", own=ADMIN),
    Address("operations_live", own=ADMIN),
    Address("operations_pause", own=ADMIN),
    Address("operations_resume", "pause", own=ADMIN),
    Address("operations_drain", "worker", own=ADMIN),
    Address("operations_probe", "destination", own=ADMIN),
]
_READ_ONLY = (
    "message", "inboundmessage", "recipient", "attempt", "destination", "bulkoperation",
)  # fmt: skip
_SETTINGS = ("webhook", "quota", "signingkey", "oauthprovider", "template")
_CHECKED = {"why": "checked"}
# What each group may send, of the same rows. "Moved" is the page after it.
POSTS = [
    # Nothing can be edited.
    *(Address(f"{model}_change", model, NO_GROUP, None, POSTED) for model in _READ_ONLY),
    *(Address(f"{model}_delete", model, NO_GROUP, None, POSTED) for model in _READ_ONLY),
    Address("account_change", "account", ADMIN, None, {}),
    Address("mailbox_change", "mailbox", ADMIN, None, {}),
    Address("suppression_add", own=SOME, post={}),
    Address("suppression_import", own=SOME, post={}),
    Address("operations_pause", own=ADMIN, post={}),
    Address("operations_probe", "destination", (NO, NO, MOVED), None, POSTED),
    Address("operations_drain", "worker", (NO, NO, MOVED), None, POSTED),
    Address("operations_resume", "pause", (NO, NO, MOVED), None, POSTED),
    Address("bulkoperation_confirm", "proposed", (NO, MOVED, MOVED), (GONE,) * 3, _CHECKED),
    Address("bulkoperation_cancel", "proposed", (NO, MOVED, MOVED), (GONE, GONE, MOVED), POSTED),
    *(Address(f"{model}_add", own=ADMIN, post={}) for model in _SETTINGS),
    *(Address(f"{model}_delete", model, (NO, NO, MOVED), None, POSTED) for model in _SETTINGS),
]
# The frame of a preview has no session. test_message_preview.py and test_received.py test it.
ELSEWHERE_TESTED = {"message_preview", "inboundmessage_preview"}


def rows_of(account: Account, message: Message, actor: User) -> dict[str, int]:
    """Return the keys of the rows of an account, and of the site."""
    attempt = Attempt.objects.create(message=message, started_at=timezone.now())
    hook = Webhook.objects.first() or Webhook.objects.create(name="hook", url="https://a.example")
    now = timezone.now()
    rows: dict[str, Any] = {
        "account": account,
        "message": message,
        "inboundmessage": receive(None, letter(), account),
        "recipient": message.recipients.get(),
        "attempt": attempt,
        "destination": Destination.objects.get_or_create(account=account)[0],
        "suppression": api.suppress(f"no@{account.pk}.example", account=account),
        "alarm": Alarm.objects.create(
            kind="no_beat", key=str(account.pk), severity="warning", since=now, last_seen=now
        ),
        "worker": Worker.objects.create(
            host="h", pid=1, started_at=now, heartbeat_at=now, lease_until=now
        ),
        "auditentry": AuditEntry.objects.create(action=AuditAction.EXPORTED),
        "webhook": hook,
        "webhookcall": WebhookCall.objects.create(
            webhook=hook, created_at=now, body='{"type": "x", "data": {"address": "a@b.example"}}'
        ),
        "bulkoperation": BulkOperation.objects.create(action="hold", count=1, actor=actor),
        "template": Template.objects.create(name=f"t{account.pk}", owner=None),
        "mailbox": Mailbox.objects.create(account=account, host="pop.example.org"),
        "quota": Quota.objects.get_or_create(user=actor)[0],
        "signingkey": SigningKey.objects.create(
            domain=f"{account.pk}.example", selector="s", algorithm="ed25519-sha256"
        ),
        "oauthprovider": OAuthProvider.objects.create(kind="google", name="G", client_id="c"),
        "pause": Pause.objects.create(scope="everything", reason="r"),
    }
    rows["proposed"] = rows["bulkoperation"]
    return {name: row.pk for name, row in rows.items()}


@dataclass
class Scene:
    """A user of a group, the rows of an account that the user sees, and those of another one."""

    user: User
    client: Client
    own: dict[str, int] = field(default_factory=dict)
    other: dict[str, int] = field(default_factory=dict)

    def open(self, address: Address, rows: dict[str, int]) -> int:
        args = [rows[address.of]] if address.of else []
        url = reverse(f"admin:outbox_{address.name}", args=[*args, *address.extra])
        if address.post is None:
            return self.client.get(url + address.query).status_code
        return self.client.post(url + address.query, address.post).status_code


def make_groups() -> None:
    """Do what the migration does, which uses its editor for the connection only."""
    migration.make_groups(apps, SimpleNamespace(connection=connection))


@pytest.fixture
def groups(db: None) -> None:
    """Create the groups again, in case that a test before has emptied the tables."""
    make_groups()


def make_scene(account: Account, group: str) -> Scene:
    team = Group.objects.create(name="Shop team")
    user = User.objects.create_user("member", is_staff=True)
    user.groups.set([team, Group.objects.get(name=group)])
    account.staff_groups.add(team)
    another = Account.objects.create(
        name="bank", from_address="bank@example.org", host="mail.example.org"
    )
    stranger = User.objects.create_user("stranger")
    scene = Scene(user, signed_in(user))
    scene.own = rows_of(account, queue(account, "jane@example.com", subject="Invoice"), user)
    scene.other = rows_of(another, queue(another, "joe@example.com", subject="Statement"), stranger)
    return scene


@pytest.mark.system
@pytest.mark.parametrize("addresses", [ADDRESSES, POSTS], ids=["pages", "forms"])
@pytest.mark.parametrize("group", GROUPS)
def test_each_address_opens_for_the_groups_of_the_table(
    group: str, addresses: list[Address], account: Account, groups: None
) -> None:
    scene, number = make_scene(account, group), GROUPS.index(group)
    wanted = {
        (one.id, which): (one.own if which == "own" or one.other is None else one.other)[number]
        for one in addresses
        for which in ("own", "other")
    }
    opened = {
        (one.id, which): scene.open(one, getattr(scene, which))
        for one in addresses
        for which in ("own", "other")
    }
    assert opened == wanted


def test_a_get_changes_nothing(account: Account, groups: None) -> None:
    """Also with the fields of the form: another site can link to any address."""
    scene = make_scene(account, ADMINISTRATORS)
    Destination.objects.update(circuit="open", circuit_until=timezone.now())
    fields = _CHECKED | POSTED | {"reason": "checked", "hours": "1", "action": "hold"}
    before, changed = stored(), []
    for address in POSTS:
        args = [scene.own[address.of]] if address.of else []
        with transaction.atomic():
            scene.client.get(reverse(f"admin:outbox_{address.name}", args=args), fields)
            if stored() != before:
                changed.append(address.name)
            transaction.set_rollback(True)
    assert changed == []


def stored() -> list[dict[str, Any]]:
    """Return the rows that the forms of the admin change."""
    models: tuple[type[Model], ...] = (
        Account, BulkOperation, Destination, Mailbox, Message, OAuthProvider, Pause, Quota,
        Recipient, SigningKey, Suppression, Template, Webhook, Worker,
    )  # fmt: skip
    return [row for model in models for row in model._default_manager.order_by("pk").values()]


def test_the_table_knows_every_address_of_the_admin() -> None:
    names = {
        pattern.name.removeprefix("outbox_")
        for model_admin in admin.site._registry.values()
        if model_admin.opts.app_label == "outbox"
        for pattern in model_admin.get_urls()
        if pattern.name
    }
    of_operations = {f"operations_{page}" for page in ("add", "change", "delete", "history")}
    assert {one.name for one in ADDRESSES} == names - ELSEWHERE_TESTED - of_operations


@pytest.mark.parametrize("page", ["add", "1/change", "1/delete", "1/history"])
def test_the_dashboard_has_no_forms(page: str, staff: Client) -> None:
    assert staff.get(f"/admin/outbox/operations/{page}/").status_code in {NO, GONE, MOVED}


@pytest.mark.parametrize("group", GROUPS)
def test_lists_and_exports_show_the_accounts_of_the_team_only(
    group: str, account: Account, groups: None
) -> None:
    scene = make_scene(account, group)
    sweep.index_new_messages(connection.alias)
    sees_all = group == ADMINISTRATORS
    for url, own, other in (
        ("message/", "Invoice", "Statement"),
        ("recipient/", "jane@example.com", "joe@example.com"),
        ("message/export/json/", "Invoice", "Statement"),
        ("message/?q=joe%40example.com", "", "Statement"),
        ("message/?q=Statement", "", "Statement"),
        ("suppression/", f"no@{scene.own['account']}.e", f"no@{scene.other['account']}.e"),
        ("suppression/export/", f"no@{scene.own['account']}.e", f"no@{scene.other['account']}.e"),
    ):
        response = scene.client.get(f"/admin/outbox/{url}")
        # A narrow column may break before the domain.
        text = b"".join(response).decode().replace("<wbr>", "")
        assert own in text, url
        shown = url.startswith("message/?q") and f'value="{other}"' in text
        assert (other in text.replace(f'value="{other}"', "")) is sees_all or shown, url


@pytest.mark.parametrize("group", GROUPS)
def test_each_action_changes_what_the_group_may_change(
    group: str, account: Account, groups: None
) -> None:
    scene = make_scene(account, group)
    sweep.index_new_messages(connection.alias)
    may_change = group != VIEWERS
    for rows, allowed in ((scene.own, may_change), (scene.other, group == ADMINISTRATORS)):
        data = {"action": "hold", "_selected_action": [str(rows["message"])]}
        scene.client.post("/admin/outbox/message/", data)
        proposed = BulkOperation.objects.filter(highest_id=rows["message"])
        assert proposed.exists() is allowed
        across = {"action": "hold", "select_across": "1"}
        scene.client.post(f"/admin/outbox/message/?account={rows['account']}", across)
        assert proposed.count() == 2 * allowed

        url = reverse("outbox:hold", args=[rows["message"]])
        scene.client.post(url, {"why": "wrong", "recipients": [str(rows["recipient"])]})
        state = Recipient.objects.get(pk=rows["recipient"]).state
        assert (state == State.HELD) is allowed

        circuit = Destination.objects.filter(pk=rows["destination"])
        circuit.update(circuit="open", circuit_until=timezone.now(), circuit_needs_person=True)
        data = {"action": "close_circuit", "_selected_action": [str(rows["destination"])]}
        scene.client.post("/admin/outbox/destination/", data)
        assert (circuit.get().circuit == "closed") is allowed

        url = f"/admin/outbox/suppression/{rows['suppression']}/delete/"
        scene.client.post(url, POSTED)
        assert (not Suppression.objects.filter(pk=rows["suppression"]).exists()) is allowed


@pytest.mark.parametrize("group", GROUPS)
def test_the_content_is_shown_to_those_who_may_read_it(
    group: str, account: Account, groups: None
) -> None:
    scene = make_scene(account, group)
    for rows, is_seen in ((scene.own, True), (scene.other, group == ADMINISTRATORS)):
        for model in ("message", "inboundmessage"):
            url = reverse(f"admin:outbox_{model}_change", args=[rows[model]])
            page = scene.client.get(f"{url}?content=text")
            assert page.status_code == (OPEN if is_seen else ELSEWHERE)
            is_read = b'class="outbox-text"' in page.content
            assert is_read is (group == ADMINISTRATORS), (model, is_seen)
    readings = AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ).count()
    assert readings == (4 if group == ADMINISTRATORS else 0)


def test_a_filter_by_another_account_does_not_name_it(account: Account, groups: None) -> None:
    scene = make_scene(account, OPERATORS)
    data = {"action": "hold", "select_across": "1"}
    scene.client.post(f"/admin/outbox/message/?account={scene.other['account']}", data)
    proposed = BulkOperation.objects.latest("pk")
    page = scene.client.get(f"/admin/outbox/bulkoperation/{proposed.pk}/change/")
    assert page.status_code == OPEN
    assert "bank" not in page.content.decode()


@pytest.mark.parametrize("group", GROUPS)
def test_an_address_is_suppressed_for_the_accounts_of_the_team_only(
    group: str, account: Account, groups: None
) -> None:
    scene = make_scene(account, group)
    for number, (key, allowed) in enumerate((
        (scene.own["account"], group != VIEWERS),
        (scene.other["account"], group == ADMINISTRATORS),
        ("", group == ADMINISTRATORS),
    )):  # fmt: skip
        data = {"address": f"x{number}@a.example", "account": str(key), "why": "manual"}
        scene.client.post("/admin/outbox/suppression/add/", data)
        found = Suppression.objects.filter(address=data["address"])
        assert found.exists() is allowed, key


@pytest.mark.parametrize("group", GROUPS)
def test_the_pages_of_the_site_follow_the_same_table(
    group: str, account: Account, groups: None
) -> None:
    scene = make_scene(account, group)
    sees_all = group == ADMINISTRATORS
    client = scene.client
    folder = client.get(reverse("outbox:apps")).content.decode()
    assert "Invoice" in folder
    assert ("Statement" in folder) is sees_all
    for rows, is_seen in ((scene.own, True), (scene.other, sees_all)):
        message = rows["message"]
        page = client.get(reverse("outbox:message", args=[message]))
        assert page.status_code == (OPEN if is_seen else GONE)
        source = client.get(reverse("outbox:source", args=[message]))
        assert source.status_code == ((OPEN if sees_all else NO) if is_seen else GONE)


def test_a_message_without_an_account_is_for_those_who_see_everything(
    account: Account, groups: None
) -> None:
    scene = make_scene(account, OPERATORS)
    Message.objects.filter(pk=scene.own["message"]).update(account=None)
    url = reverse("outbox:message", args=[scene.own["message"]])
    assert scene.client.get(url).status_code == GONE
    everything = Permission.objects.get(codename="view_all_accounts")
    scene.user.user_permissions.add(everything)
    assert scene.client.get(url).status_code == OPEN


def test_the_groups_are_those_of_the_table(groups: None) -> None:
    for name in GROUPS:
        group = Group.objects.get(name=name)
        names = set(group.permissions.values_list("codename", flat=True))
        assert names == permissions_of(name) == set(migration.GROUPS[name])


def test_the_migration_keeps_what_administrators_have_changed(groups: None) -> None:
    viewers = Group.objects.get(name=VIEWERS)
    viewers.permissions.clear()
    make_groups()
    assert not viewers.permissions.exists()
    assert Group.objects.filter(name__in=GROUPS).count() == len(GROUPS)


def test_the_documentation_has_the_table() -> None:
    assert as_markdown() in (ROOT / "docs" / "permissions.md").read_text()

"""The labels of all pages: in Chinese, none is English apart from the names of products."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import escape

from outbox.models import (
    Account,
    Alarm,
    AlarmNotification,
    ConnectionTest,
    OAuthToken,
    Operations,
    PendingHold,
    Preferences,
    ReplyReminder,
    SentCopy,
    ServerMessage,
    ShareDecision,
    StoredSize,
)
from outbox.reasons import ReasonCode
from outbox.smtp import FaultKind
from tests.integration.admin.conftest import queue
from tests.integration.admin.test_permissions import rows_of

CHINESE = {"accept-language": "zh-hans"}
OTHER_ROWS = {"pause", "proposed"}  # without an admin of their own
WORD = re.compile(r"[A-Za-z][A-Za-z0-9]+")
# Names of products, protocols and formats, and the codes that attempts are filtered by.
NAMES = {
    *FaultKind,
    *ReasonCode,
    *WORD.findall("""
        AOL Fastmail GMX Google Gmail Microsoft QQ Yahoo Zoho iCloud
        Celery Django PostgreSQL Redis SQLite beat
        DKIM DNS HTTP HTTPS ID IMAP IP MTA MX OAuth PID POP3 PTR SMTP STARTTLS STS TLS URI URL
        Base64 CSV Ed25519 HTML JSON Message PEM RSA TXT UTC Webhook
    """),
}
# Django 6.1 has no Chinese translation of its label of an empty choice.
EMPTY_CHOICE = "- Select an option -"
# Addresses, codes, suffixes of files, and the words with which a part of a search begins.
CODE = re.compile(r"[\w.-]+[@=_./][\w.@=-]*|\.\w+|“[\w.-]+”|\b[a-z]+:(?=、| )")
# Elements with the values of rows; `th` also shows a value, but only in the body of a table.
VALUES = {"td", "script", "style", "textarea", "pre", "bdi", "time", "svg", "code"}
VOID = {"input", "br", "img", "link", "meta", "hr", "wbr", "path", "col"}


class Labels(HTMLParser):
    """Collects the texts of the content of a page, apart from the values of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, bool]] = []  # each element, and whether it shows a value
        self.labels: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        classes = values.get("class", "").split()
        if tag == "input" and values.get("type") in {"submit", "button"}:
            self._add(values.get("value", ""))
        self._add(values.get("title", ""))
        self._add(values.get("placeholder", ""))
        if tag in VOID:
            return
        is_value = (
            tag in VALUES
            or (tag == "th" and any(one.startswith("field-") for one in classes))
            or (tag == "select" and values.get("name") != "action")
            or bool({"readonly", "original", "breadcrumbs", "outbox-value"} & {*classes})
            or values.get("id") in {"nav-sidebar", "header"}
        )
        self.open.append((tag, is_value))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, text: str) -> None:
        self._add(text)

    def _add(self, text: str) -> None:
        text = " ".join(text.split())
        if text and not any(is_value for _tag, is_value in self.open):
            self.labels.add(text)


def english(page: str, names: set[str]) -> set[str]:
    """Return the labels of a page that have an English word, apart from the names of rows."""
    parser = Labels()
    parser.feed(page)
    found = set()
    for label in parser.labels - {EMPTY_CHOICE}:
        text = label
        for name in sorted(names, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "", text, flags=re.ASCII)
        if {*WORD.findall(CODE.sub("", text))} - NAMES:
            found.add(label)
    return found


def pages(staff: Client, rows: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the list of each registered admin, the form of a new row, and the pages of a row."""
    for model in admin.site._registry:
        meta = model._meta
        if meta.app_label != "outbox":
            continue
        name = f"admin:outbox_{meta.model_name}"
        urls = [reverse(f"{name}_changelist")]
        if row := rows.get(meta.model_name or ""):  # the dashboard has none
            urls += [reverse(f"{name}_add"), reverse(f"{name}_change", args=[row])]

        for url in urls:
            response = staff.get(url, headers=CHINESE)
            # Rows of some models cannot be added.
            assert response.status_code == 200 or url.endswith("/add/"), url
            if response.status_code == 200:
                yield url, response.content.decode()


def test_no_label_is_english_in_chinese(account: Account, staff: Client) -> None:
    user = User.objects.get()
    rows = rows_of(account, queue(account, "jane@example.com"), user)
    AlarmNotification.objects.create(alarm=Alarm.objects.get(), channel="http")
    Alarm.objects.update(cleared_at=timezone.now())  # no page shows its sentence
    outbox = [model for model in admin.site._registry if model._meta.app_label == "outbox"]
    assert {model._meta.model_name for model in outbox} == {*rows, "operations"} - OTHER_ROWS
    names = {user.username, account.name}
    for model in outbox:
        if key := rows.get(model._meta.model_name or ""):
            names.add(str(model._default_manager.get(pk=key)))
    found = {url: labels for url, page in pages(staff, rows) if (labels := english(page, names))}
    assert found == {}


@pytest.mark.parametrize("model", [*apps.get_app_config("outbox").get_models()])
def test_each_model_has_names_in_both_languages(model: type[Model]) -> None:
    """Also without an admin of its own: Django shows them where a user is deleted."""
    meta = model._meta
    names = [str(meta.verbose_name), str(meta.verbose_name_plural)]
    assert not [name for name in names if re.search(r"[^aeiou]ys\b|\blog\b|\blist\b", name)]
    with translation.override("zh-hans"):
        found = [str(meta.verbose_name), str(meta.verbose_name_plural)]
    assert not [name for name in found if english(name, set())]


def test_no_name_of_a_row_is_english_in_chinese(account: Account, staff: Client) -> None:
    user = User.objects.get()
    rows = rows_of(account, queue(account, "jane@example.com"), user)
    del rows["pause"], rows["proposed"]
    created = AlarmNotification.objects.create(alarm=Alarm.objects.get(), channel="email")
    rows[AlarmNotification._meta.model_name or ""] = created.pk
    copies = ServerMessage(mailbox_id=account.pk, uid="1"), SentCopy(message_id=rows["message"])
    own = [model(user=user) for model in (ConnectionTest, Preferences, StoredSize)]
    of_account = [model(account=account) for model in (OAuthToken, PendingHold)]
    others = [ShareDecision(pk=1), ReplyReminder(message_id=1)]
    with translation.override("zh-hans"):
        names = [str(apps.get_model("outbox", model).objects.get(pk=rows[model])) for model in rows]
        names += map(str, [*copies, *own, *of_account, *others])
    values = {user.username, account.name, "Invoice", "Lunch", "hook", "t1"}
    assert [name for name in names if english(escape(name), values)] == []


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("mailbox", "shop <shop@example.com>"),
        ("quota", "staff"),
        ("webhookcall", "#{pk}"),
        ("attempt", "#{pk}"),
        ("auditentry", "list of messages exported"),
    ],
)
def test_the_title_of_a_page_names_the_row(
    model: str, title: str, account: Account, staff: Client
) -> None:
    rows = rows_of(account, queue(account, "jane@example.com"), User.objects.get())
    page = reverse(f"admin:outbox_{model}_change", args=[rows[model]])
    found: Any = staff.get(page).context["subtitle"]
    assert found == title.format(pk=rows[model])


def test_labels_are_those_of_the_models(account: Account, staff: Client, rf: Any) -> None:
    """Also in a project without the admin: a list or a form of its own shows them."""
    request = rf.get("/")
    request.user = User.objects.get()
    missing = []
    for model, page in admin.site._registry.items():
        if model._meta.app_label != "outbox" or model is Operations:  # the dashboard has no fields
            continue
        names = {*page.get_list_display(request), *flatten_fieldsets(page.get_fieldsets(request))}
        for field in model._meta.fields:
            if field.name in names and not field.primary_key:
                missing += [] if field._verbose_name else [str(field)]  # type: ignore[attr-defined]
    assert missing == []

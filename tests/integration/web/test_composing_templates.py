"""A message begun with a template: chosen, filled in, previewed, taken."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.models import Account, Message, Template

HERE = reverse("outbox:compose-template")


@pytest.fixture
def template(anna: User) -> Template:
    return Template.objects.create(
        owner=anna,
        name="Quote",
        subject="Quote for {{ name }}",
        text="Dear {{ name }},\nit costs {{ price }}{{ extra|default:'' }}.",
    )


def test_the_templates_one_may_use_are_offered(
    as_anna: Client, as_ben: Client, template: Template
) -> None:
    Template.objects.create(owner=None, name="Of the site", text="Hello")
    mine, other = (client.get(HERE).content.decode() for client in (as_anna, as_ben))
    assert "Quote" in mine
    assert "Of the site" in mine
    assert "Quote" not in other
    assert "Of the site" in other


def test_another_user_s_template_cannot_be_filled(as_ben: Client, template: Template) -> None:
    page = as_ben.get(HERE, {"template": template.pk})
    assert page.context["filled"] is None
    as_ben.post(HERE, {"template": template.pk, "use": "1"})
    assert not Message.objects.exists()


def test_a_preview_says_what_the_message_will_say(as_anna: Client, template: Template) -> None:
    fields = {"template": template.pk, "value-name": "<Jane>", "part": "1"}
    part = as_anna.post(HERE, fields, headers={"hx-request": "true"}).content.decode()
    assert "<h1" not in part
    assert "Quote for &lt;Jane&gt;" in part
    assert "it costs {{ price }}." in part
    assert "<Jane>" not in part


def test_without_scripts_taking_it_begins_a_draft(
    as_anna: Client, account: Account, template: Template
) -> None:
    fields = {"template": template.pk, "value-name": "Jane", "value-price": "5 €", "use": "1"}
    response = as_anna.post(HERE, fields)
    draft = Message.objects.get()
    assert response["Location"] == reverse("outbox:draft", args=[draft.pk])
    assert (draft.subject, draft.account) == ("Quote for Jane", account)
    assert draft.draft.text == "Dear Jane,\nit costs 5 €."


def test_formatted_wording_is_cleaned_and_values_in_it_are_text(
    as_anna: Client, anna: User, account: Account
) -> None:
    template = Template.objects.create(
        owner=anna, name="Rich", html="<p onclick='x()'>Dear <b>{{ name }}</b></p>"
    )
    as_anna.post(HERE, {"template": template.pk, "value-name": "<i>Jane</i>", "use": "1"})
    content = Message.objects.get().draft
    assert content.html == "<p>Dear <b>&lt;i&gt;Jane&lt;/i&gt;</b></p>"
    assert content.text.strip() == "Dear <i>Jane</i>"


def test_a_template_that_makes_no_sense_is_shown(as_anna: Client, anna: User) -> None:
    broken = Template.objects.create(owner=anna, name="Broken", text="{% if %}")
    page = as_anna.get(HERE, {"template": broken.pk})
    assert page.status_code == 200
    assert "In the text of Broken" in page.content.decode()

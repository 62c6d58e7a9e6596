"""Templates in the admin: those of the site and of users; an invalid one is not saved."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from outbox.models import Template

LIST = "/admin/outbox/template/"
HTML = "<table>{% for line in lines %}<tr><td>{{ line }}{% endfor %}</table>"  # no valid HTML


def form(**fields: Any) -> dict[str, Any]:
    plain = {"name": "welcome", "subject": "Hello {{ name }}", "text": "Good to see you."}
    return {**plain, **fields}


@pytest.fixture
def welcome(db: None) -> Template:
    return Template.objects.create(name="welcome", subject="Hello")


def test_a_template_of_the_site_has_no_owner(staff: Client) -> None:
    assert staff.post(f"{LIST}add/", form(html=HTML)).status_code == 302

    template = Template.objects.of_site().get()
    assert (template.subject, template.html) == ("Hello {{ name }}", HTML)


def test_a_template_of_a_user_has_an_owner_and_no_script(staff: Client) -> None:
    ann = User.objects.create_user("ann")
    html = "<p>Hello</p><script>alert(1)</script>"

    staff.post(f"{LIST}add/", form(owner=ann.pk, html=html))

    template = Template.objects.get()
    assert (template.owner, template.html) == (ann, "<p>Hello</p>")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        pytest.param("subject", "Hello {{ name", id="not closed"),
        pytest.param("text", "{% nonsense %}", id="an unknown tag"),
        pytest.param("html", "<p>{{ name|nonsense }}</p>", id="an unknown filter"),
        pytest.param("text", "{% load static %}", id="a library of the site"),
    ],
)
def test_an_error_is_shown_at_its_field(field: str, words: str, staff: Client) -> None:
    response: Any = staff.post(f"{LIST}add/", form(**{field: words}))

    assert list(response.context["adminform"].form.errors) == [field]
    assert not Template.objects.exists()


def test_a_name_is_unique(staff: Client, welcome: Template) -> None:
    assert staff.post(f"{LIST}add/", form()).status_code == 200

    assert Template.objects.get() == welcome


def test_templates_are_filtered_by_owner(onlooker: Client, welcome: Template) -> None:
    own = Template.objects.create(name="mine", owner=User.objects.create_user("ann"))

    found = {
        of: [row.name for row in onlooker.get(LIST, {"of": of}).context["cl"].result_list]
        for of in ("site", "people")
    }

    assert found == {"site": [welcome.name], "people": [own.name]}


def test_a_viewer_changes_nothing(onlooker: Client, welcome: Template) -> None:
    page = f"{LIST}{welcome.pk}/change/"
    assert "Hello" in onlooker.get(page).content.decode()

    assert onlooker.post(page, form(subject="Changed")).status_code == 403

    welcome.refresh_from_db()
    assert welcome.subject == "Hello"

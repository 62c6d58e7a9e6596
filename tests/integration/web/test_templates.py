"""Templates: written, tried out with made-up values, and refused where they stand wrong."""

from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.models import Template
from tests.integration.web.conftest import signed_in

ADD = reverse("outbox:template-add")
TRY = reverse("outbox:template-try")
LIST = reverse("outbox:templates")


def written(**fields: str) -> dict[str, str]:
    """What a browser sends for a filled form."""
    return {
        "name": "Offer",
        "subject": "Offer for {{ name }}",
        "text": "Dear {{ name }}",
        "html": "",
    } | fields


def test_a_template_is_written_and_changed(as_anna: Client, anna: User) -> None:
    as_anna.post(ADD, written())
    template = Template.objects.get()
    assert template.owner == anna
    url = reverse("outbox:template", args=[template.pk])
    as_anna.post(url, written(text="Hello {{ name }}"))
    template.refresh_from_db()
    assert template.text == "Hello {{ name }}"
    page = as_anna.get(LIST).content.decode()
    assert url in page
    assert "Offer for {{ name }}" in page


WRONG = [
    ("name", "", "required"),
    ("subject", "Dear {{ name", "not closed"),
    ("text", "Dear {{\nname }}", "not closed"),
    ("text", "Dear name }}", "not closed"),
    ("text", "{% if x %}", "Unclosed tag"),
    ("text", "{% now 'Y' %}", "no tags"),
    ("text", "{{ name|nosuch }}", "nosuch"),
    ("text", "{{ name|length }}", "cannot be used"),
    ("text", "{{ a b }}", "remainder"),
    ("html", "<p>{% now 'Y' %}</p>", "no tags"),
]


@pytest.mark.parametrize(("field", "words", "said"), WRONG)
def test_a_mistake_is_told_at_its_field(as_anna: Client, field: str, words: str, said: str) -> None:
    answer = as_anna.post(ADD, written(**{field: words}))
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert said in answer.content.decode()
    assert not Template.objects.exists()


def test_two_of_one_person_need_two_names(as_anna: Client, as_ben: Client) -> None:
    as_anna.post(ADD, written())
    assert list(as_anna.post(ADD, written()).context["form"].errors) == ["name"]
    as_ben.post(ADD, written())
    assert Template.objects.count() == 2


def test_what_could_run_is_cleaned_away(as_anna: Client) -> None:
    as_anna.post(ADD, written(html='<p onclick="x()">Dear {{ name }}<script>x()</script></p>'))
    assert Template.objects.get().html == "<p>Dear {{ name }}</p>"


def tried(client: Client, **fields: str) -> str:
    return client.post(TRY, written(**fields), HTTP_HX_REQUEST="true").content.decode()


def test_a_placeholder_without_a_value_stands_for_itself(as_anna: Client) -> None:
    page = tried(as_anna)
    assert "Offer for {{ name }}" in page
    assert 'name="value-name"' in page


def test_a_value_is_put_in_and_its_field_is_left_alone(as_anna: Client) -> None:
    page = tried(as_anna, **{"value-name": "<Jane>"})
    assert "Offer for &lt;Jane&gt;" in page
    assert "Dear &lt;Jane&gt;" in page
    assert 'name="value-name"' not in page


def test_a_new_placeholder_brings_its_field(as_anna: Client) -> None:
    page = tried(as_anna, text="{{ name }} {{ when|default:'soon' }}", **{"value-name": "Jane"})
    assert 'hx-swap-oob="true"' in page
    assert 'name="value-when"' in page
    assert "may stay empty" in page
    assert "Jane soon" in page
    assert 'value="Jane"' in page


def test_formatted_text_is_shown_in_a_frame_that_can_do_nothing(as_anna: Client) -> None:
    html = '<p style="color: red">Dear <b>{{ name }}</b><img src="https://example.com/a.png"></p>'
    page = tried(as_anna, html=html, **{"value-name": "<script>alert(1)</script>"})
    frame = page.partition("sandbox title")[2]
    assert "srcdoc=" in frame
    assert "example.com" not in frame
    assert "style=" not in frame
    assert "<script" not in unescape(frame)


def test_what_makes_no_sense_yet_is_no_error(as_anna: Client) -> None:
    assert "once what is written makes sense" in tried(as_anna, text="{% if x %}")
    assert "once what is written makes sense" in tried(as_anna, text="{{ a|b }}")


def test_trying_it_out_without_scripts_saves_nothing(as_anna: Client) -> None:
    page = as_anna.post(ADD, written() | {"try": "1", "value-name": "Jane"}).content.decode()
    assert "Offer for Jane" in page
    assert not Template.objects.exists()


def test_the_site_s_own_can_be_read_and_not_changed(as_anna: Client) -> None:
    template = Template.objects.create(
        name="welcome", subject="Welcome", text="{% if x %}y{% endif %}"
    )
    url = reverse("outbox:template", args=[template.pk])
    assert "welcome" in as_anna.get(LIST).content.decode()
    page = as_anna.get(url).content.decode()
    assert "{% if x %}" in page
    as_anna.post(url, written())
    template.refresh_from_db()
    assert template.name == "welcome"
    assert as_anna.post(reverse("outbox:template-remove", args=[template.pk])).status_code == 404


def test_it_is_removed(as_anna: Client, anna: User) -> None:
    template = Template.objects.create(owner=anna, name="Offer")
    as_anna.post(reverse("outbox:template-remove", args=[template.pk]))
    assert not Template.objects.exists()


def test_others_do_not_see_it(anna: User, carl: User) -> None:
    Template.objects.create(owner=anna, name="Secret offer")
    assert "Secret offer" not in signed_in(carl).get(LIST).content.decode()
    assert "No templates yet" in signed_in(carl).get(LIST).content.decode()

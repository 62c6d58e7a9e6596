"""Templates: written, tried out with made-up values, and refused where they stand wrong."""

from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, Message, Template
from tests.integration.web.conftest import signed_in

ADD = reverse("outbox:template-add")
TRY = reverse("outbox:template-preview")
LIST = reverse("outbox:templates")
INSERT = reverse("outbox:compose-template")


def written(**fields: str) -> dict[str, str]:
    """What a browser sends for a filled form."""
    return {
        "name": "Quote",
        "subject": "Quote for {{ name }}",
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
    assert "Quote for {{ name }}" in page


WRONG = [
    ("name", "", "required"),
    ("subject", "Dear {{ name", "Close each placeholder"),
    ("text", "Dear {{\nname }}", "Close each placeholder"),
    ("text", "Dear name }}", "Close each placeholder"),
    ("text", "{% if x %}", "Unclosed tag"),
    ("text", "{% now 'Y' %}", "Tags are not supported"),
    ("text", "{{ name|nosuch }}", "nosuch"),
    ("text", "{{ name|length }}", "cannot be used"),
    ("text", "{{ a b }}", "remainder"),
    ("html", "<p>{% now 'Y' %}</p>", "Tags are not supported"),
]


@pytest.mark.parametrize(("field", "words", "said"), WRONG)
def test_a_mistake_is_shown_at_its_field(
    as_anna: Client, field: str, words: str, said: str
) -> None:
    response = as_anna.post(ADD, written(**{field: words}))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert said in response.content.decode()
    assert not Template.objects.exists()


def test_two_of_one_person_need_two_names(as_anna: Client, as_ben: Client) -> None:
    as_anna.post(ADD, written())
    assert list(as_anna.post(ADD, written()).context["form"].errors) == ["name"]
    as_ben.post(ADD, written())
    assert Template.objects.count() == 2


def test_scripts_are_removed(as_anna: Client) -> None:
    as_anna.post(ADD, written(html='<p onclick="x()">Dear {{ name }}<script>x()</script></p>'))
    assert Template.objects.get().html == "<p>Dear {{ name }}</p>"


def tried(client: Client, **fields: str) -> str:
    return client.post(TRY, written(**fields), HTTP_HX_REQUEST="true").content.decode()


def test_a_placeholder_without_a_value_is_shown_as_written(as_anna: Client) -> None:
    page = tried(as_anna)
    assert "Quote for {{ name }}" in page
    assert 'name="value-name"' in page


def test_a_value_is_put_in_and_its_field_is_left_alone(as_anna: Client) -> None:
    page = tried(as_anna, **{"value-name": "<Jane>"})
    assert "Quote for &lt;Jane&gt;" in page
    assert "Dear &lt;Jane&gt;" in page
    assert 'name="value-name"' not in page


def test_a_new_placeholder_brings_its_field(as_anna: Client) -> None:
    page = tried(as_anna, text="{{ name }} {{ when|default:'soon' }}", **{"value-name": "Jane"})
    assert 'hx-swap-oob="true"' in page
    assert 'name="value-when"' in page
    assert "optional" in page
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


def test_an_unfinished_template_causes_no_server_error(as_anna: Client) -> None:
    assert "the template has a mistake" in tried(as_anna, text="{% if x %}")
    assert "the template has a mistake" in tried(as_anna, text="{{ a|b }}")


def test_trying_it_out_without_scripts_saves_nothing(as_anna: Client) -> None:
    page = as_anna.post(ADD, written() | {"preview": "1", "value-name": "Jane"}).content.decode()
    assert "Quote for Jane" in page
    assert not Template.objects.exists()


def test_a_template_of_the_site_can_be_read_but_not_changed(as_anna: Client) -> None:
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
    assert as_anna.post(reverse("outbox:template-delete", args=[template.pk])).status_code == 404


def test_it_is_removed(as_anna: Client, anna: User) -> None:
    template = Template.objects.create(owner=anna, name="Quote")
    as_anna.post(reverse("outbox:template-delete", args=[template.pk]))
    assert not Template.objects.exists()


def test_others_do_not_see_it(anna: User, carl: User) -> None:
    Template.objects.create(owner=anna, name="Secret offer")
    assert "Secret offer" not in signed_in(carl).get(LIST).content.decode()
    assert "No templates yet" in signed_in(carl).get(LIST).content.decode()


KEPT = {
    "address": ('<a href="{{ link }}">x</a>', "https://x.test/?a=1&b=2", "https://x.test/?a=1&amp;b=2"),
    "path": ('<a href="{{ link }}/x">x</a>', "https://x.test", "https://x.test/x"),
    "end": ('<a href="https://x.test/{{ link }}">x</a>', "t0", "https://x.test/t0"),
    "mailto": ('<a href="mailto:{{ link }}">x</a>', "a@x.test", "mailto:a@x.test"),
    "no quotes": ("<a href={{link}}>x</a>", "https://x.test/", 'href="https://x.test/"'),
    "twice": ('<a href="{{ link }}{{ link }}">x</a>', "https:", "https:https:"),
    "picture": ('<img src="{{ link }}">', "https://x.test/p.png", 'src="https://x.test/p.png"'),
    "style": ('<p style="color:{{ link }}">x</p>', "red", "color:red"),
}  # fmt: skip


@pytest.mark.parametrize(("html", "value", "sent"), KEPT.values(), ids=KEPT)
def test_a_placeholder_in_an_attribute_is_kept_and_filled_in(
    as_anna: Client, anna: User, html: str, value: str, sent: str
) -> None:
    as_anna.post(ADD, {"name": "n", "subject": "s", "text": "", "html": html})
    template = Template.objects.get(owner=anna)
    assert sent in api.compile_template(template).fill({"link": value}).html
    page = reverse("outbox:template", args=[template.pk])
    as_anna.post(page, {"name": "n", "html": template.html})
    assert Template.objects.get().html == template.html


@pytest.mark.parametrize(
    "html",
    [
        '<p onclick="{{ x }}">y</p>',
        '<a href="javascript:{{ x }}">y</a>',
        "<script>{{ x }}</script>",
    ],
)
def test_a_placeholder_that_cannot_be_kept_is_refused_with_words(
    as_anna: Client, html: str
) -> None:
    response = as_anna.post(ADD, {"name": "n", "subject": "s", "text": "", "html": html})
    assert response.status_code == 422
    assert response.context["form"].errors["html"][0].startswith("{{ x }} cannot be used there.")
    assert html in unescape(response.content.decode())  # nothing that was typed is lost
    assert not Template.objects.exists()


def test_a_picture_inside_of_a_template_is_refused_with_words(as_anna: Client) -> None:
    html = "<p><IMG alt=x SRC = data:image/png;base64,iVBORw0KGgo=></p>"
    response = as_anna.post(ADD, {"name": "n", "subject": "s", "text": "", "html": html})
    assert response.status_code == 422
    assert "cannot contain pictures" in response.context["form"].errors["html"][0]


SCRIPTS = ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "/x", "x.test"]


@pytest.mark.parametrize("value", SCRIPTS)
def test_a_value_that_is_not_an_address_is_refused_with_words(
    as_anna: Client, anna: User, account: Account, value: str
) -> None:
    html = '<p><a href="{{ link }}">x</a></p>'
    as_anna.post(ADD, {"name": "n", "subject": "s", "text": "", "html": html})
    template = Template.objects.get(owner=anna)
    with pytest.raises(InvalidMessageError, match="is not an address") as raised:
        api.send(to="jane@example.com", account=account, template=template, context={"link": value})
    assert raised.value.field == "context"
    fields = {"template": str(template.pk), "value-link": value}
    part = as_anna.post(INSERT, fields | {"part": "1"}, headers={"hx-request": "true"})
    assert "data-problem" in part.content.decode()
    assert "is not an address for a link" in part.content.decode()
    used = as_anna.post(INSERT, fields | {"use": "1"})
    assert used.status_code == 200
    assert not Message.objects.exists()


def test_a_style_or_a_constant_brings_no_script_into_a_message(as_anna: Client, anna: User) -> None:
    html = "<p style='color:{{ c }}'>{{ x|default:'<b onclick=alert(1)>' }}</p>"
    as_anna.post(ADD, {"name": "n", "subject": "s", "text": "", "html": html})
    filled = api.compile_template(Template.objects.get(owner=anna)).fill(
        {"c": "red; background: url(https://spy.test/)"}
    )
    assert "onclick" not in filled.html
    assert "spy.test" not in filled.html

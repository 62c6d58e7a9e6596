"""A template is rendered with its values, or the error names the mistake."""

import pytest
from django.contrib.auth.models import User

from outbox import api
from outbox.exceptions import InvalidMessageError
from outbox.models import Message, Template
from tests.integration.api.reading import body, read

pytestmark = pytest.mark.usefixtures("shop")


def fill(text: str, **values: object) -> str:
    return api.compile_template(Template(text=text)).fill(values).text


def test_the_site_s_template_is_found_by_its_name() -> None:
    Template.objects.create(
        name="order sent",
        subject="Order {{ number }}",
        text="It left, {{ name }}.",
        html="<p>It left, <b>{{ name }}</b>.</p>",
    )

    handle = api.send(
        to="ann@example.com", template="order sent", context={"number": 7, "name": "A & B"}
    )

    assert read(handle)["Subject"] == "Order 7"
    assert body(handle) == "It left, A & B."
    assert body(handle, "html") == "<p>It left, <b>A &amp; B</b>.</p>"


def test_one_that_is_not_stored_serves_as_well() -> None:
    template = api.Template(subject="Hello {{ name }}", text="Hello")

    handle = api.send(to="ann@example.com", template=template, context={"name": "Ann"})

    assert read(handle)["Subject"] == "Hello Ann"


def test_a_person_s_template_is_not_the_site_s(ann: User) -> None:
    Template.objects.create(owner=ann, name="mine", subject="Hello")

    with pytest.raises(InvalidMessageError, match="no template named 'mine'"):
        api.send(to="ann@example.com", template="mine")


def test_a_person_sees_their_own_and_the_site_s(ann: User) -> None:
    bob = User.objects.create_user("bob")
    for owner, name in ((ann, "ann's"), (bob, "bob's"), (None, "the site's")):
        Template.objects.create(owner=owner, name=name)

    assert [one.name for one in Template.objects.visible_to(ann)] == ["ann's", "the site's"]
    assert [one.name for one in Template.objects.owned_by(ann)] == ["ann's"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Dear {{ name }}", id="a name"),
        pytest.param("Dear {{ user.name }}", id="a field of a name that is missing"),
        pytest.param("{% for one in several %}{{ other }}{% endfor %}", id="inside a loop"),
    ],
)
def test_a_value_that_is_missing_is_an_error_and_no_gap(text: str) -> None:
    with pytest.raises(InvalidMessageError, match=r"There is no value for \{\{ ") as raised:
        fill(text, several=[1])

    assert raised.value.field == "context"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        pytest.param('Dear {{ name|default:"reader" }}', "Dear reader", id="a default"),
        pytest.param("{% if vip %}gold{% else %}silver{% endif %}", "silver", id="a question"),
        pytest.param("{% for one in none %}{{ one }}{% endfor %}", "", id="a loop over nothing"),
    ],
)
def test_what_may_be_missing_may_be_missing(text: str, filled: str) -> None:
    assert fill(text) == filled


def test_the_subject_is_one_line() -> None:
    template = Template(subject="{% if True %}\n  Hello\n{% endif %}\n")

    assert api.compile_template(template).fill({}).subject == "Hello"


def test_it_names_its_placeholders() -> None:
    template = Template(
        subject="{{ number }} {{ user.name }}",
        text="{% for item in items %}{{ item }}{{ forloop.counter }}{{ shop }}{% endfor %}",
        html='{{ number }}{{ note|default:"" }}{% with total=sum %}{{ total }}{% endwith %}',
    )

    compiled = api.compile_template(template)

    assert compiled.placeholders == ("number", "user", "shop")
    assert compiled.optional == ("note",)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{% if name %}", id="a tag without its end"),
        pytest.param("{{ name|unknown }}", id="no such filter"),
        pytest.param("{% load static %}", id="a library of the site"),
    ],
)
def test_a_mistake_in_it_is_named(text: str) -> None:
    with pytest.raises(InvalidMessageError, match="In the text of news: ") as raised:
        api.compile_template(Template(name="news", text=text))

    assert raised.value.field == "template"


def test_it_reads_no_file_of_the_site() -> None:
    with pytest.raises(InvalidMessageError, match="TemplateDoesNotExist"):
        fill('{% include "registration/login.html" %}')


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        pytest.param("Dear {{ name }}", "", id="a placeholder"),
        pytest.param('{{ name|default:"you"|title }}', "", id="filters that only word it"),
        pytest.param("{% lorem 1000000 %}", "Tags are not supported", id="a tag"),
        pytest.param('{{ name|center:"100000000" }}', "“center” cannot", id="a costly filter"),
    ],
)
def test_a_person_s_has_placeholders_only(ann: User, text: str, refused: str) -> None:
    template = Template(owner=ann, name="mine", text=text)

    if refused:
        with pytest.raises(InvalidMessageError, match=refused):
            api.compile_template(template)
    else:
        assert api.compile_template(template).fill({"name": "ann"})


def test_words_and_a_template_are_one_too_many() -> None:
    with pytest.raises(InvalidMessageError, match="not both"):
        api.send(to="ann@example.com", subject="Hello", template=Template(subject="Hello"))

    assert not Message.objects.exists()


@pytest.mark.parametrize(
    "text", ["{{ x.upper }}", "{{ x.0 }}", "{{ x.y.z }}", "{{ x|default:y.upper }}"]
)
def test_a_placeholder_of_a_person_is_one_name(text: str, ann: User) -> None:
    """A lookup calls methods, and an app may fill the template with any object."""
    with pytest.raises(InvalidMessageError, match="a placeholder is one name without a dot"):
        api.compile_template(Template(owner=ann, name="mine", text=text))
    api.compile_template(Template(name="the site's", text=text))


def test_a_variable_of_a_filter_is_a_placeholder_too(ann: User) -> None:
    template = Template(owner=ann, name="mine", text="{{ x|default:y }}")
    compiled = api.compile_template(template)
    assert (compiled.placeholders, compiled.optional) == (("y",), ("x",))
    assert compiled.fill({"y": "b"}).text == "b"
    with pytest.raises(InvalidMessageError, match=r"\by\b"):
        compiled.fill({})

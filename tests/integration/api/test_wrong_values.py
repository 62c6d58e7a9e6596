"""Every argument of the API, given a value of every wrong kind, works or is refused by its name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.core.mail import EmailMessage

from outbox import api
from outbox.api.options import SendOptions
from outbox.backend import EmailBackend
from outbox.exceptions import InvalidMessageError
from outbox.models import Message, State
from tests.integration.api.wrong_values import MAKERS, attempt, problems

pytestmark = pytest.mark.usefixtures("shop")

PLAIN: dict[str, Any] = {"to": "ann@example.com", "subject": "Hello", "text": "Hello"}
TEMPLATE = api.Template(subject="Hello", text="{% for one in items %}{{ one }}{% endfor %}{{ x }}")
PART: dict[str, Any] = {"name": "a.txt", "content_type": "text/plain", "data": b"a"}

# What is passed of a value, and the fields that an error about it may name.
Call = tuple[Callable[[Any], dict[str, Any]], set[str]]


def under(*names: str) -> dict[str, Call]:
    """Return the arguments that are passed as they are."""

    def argument(name: str, value: Any) -> dict[str, Any]:
        return {name: value}

    return {name: (partial(argument, name), {name}) for name in names}


def of_part(*names: str) -> dict[str, Call]:
    """Return the fields of an attachment part."""

    def part(name: str, value: Any) -> dict[str, Any]:
        return {"attachments": [api.AttachmentPart(**PART | {name: value})]}

    return {f"part {name}": (partial(part, name), {"attachments"}) for name in names}


OF_A_MESSAGE: dict[str, Call] = {
    **under("to", "cc", "bcc"),
    "one of to": (lambda value: {"to": ["ben@example.com", value]}, {"to"}),
    "attachments": (lambda value: {"attachments": value}, {"attachments"}),
    "one of attachments": (lambda value: {"attachments": [value]}, {"attachments"}),
    "attached content": (lambda value: {"attachments": [("a", value)]}, {"attachments"}),
    "attached name": (lambda value: {"attachments": [(value, b"a")]}, {"attachments"}),
    "attached type": (lambda value: {"attachments": [("a", b"", value)]}, {"attachments"}),
    **of_part("name", "content_type", "data", "content_id"),
    "headers": (lambda value: {"headers": value}, {"headers", "X-One"}),
    "header": (lambda value: {"headers": {"X-One": value}}, {"X-One"}),
    "header name": (lambda value: {"headers": {value: "x"}}, {"headers"}),
    "metadata": (lambda value: {"metadata": value}, {"metadata"}),
    "one of metadata": (lambda value: {"metadata": {"a": {"b": [value]}}}, {"metadata"}),
    "metadata key": (lambda value: {"metadata": {value: 1}}, {"metadata"}),
    "related": (lambda value: {"related": value}, {"related"}),
    "idempotency_key": (lambda value: {"idempotency_key": value}, {"idempotency_key"}),
}  # fmt: skip
OF_ALL: dict[str, Call] = {
    **under("reply_to", "subject", "text", "html", "account", *SendOptions.__annotations__),
    "one of tags": (lambda value: {"tags": ["a", value]}, {"tags"}),
    "one of references": (lambda value: {"references": ["<a@b>", value]}, {"references"}),
}
OF_SEND = {**OF_A_MESSAGE, **OF_ALL}


def is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("argument", OF_SEND)
def test_send(argument: str) -> None:
    arguments, fields = OF_SEND[argument]
    kinds = MAKERS
    if "name" in argument or "key" in argument:  # a mapping takes no other keys
        kinds = {kind: make for kind, make in MAKERS.items() if is_hashable(make())}

    assert not problems(lambda value: api.send(**PLAIN | arguments(value)), fields, kinds=kinds)


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        pytest.param(lambda value: {"template": value}, {"template"}, id="template"),
        pytest.param(
            lambda value: {"template": api.Template(subject=value)}, {"template"}, id="its subject"
        ),
        pytest.param(
            lambda value: {"template": TEMPLATE, "context": value}, {"context"}, id="context"
        ),
        pytest.param(
            lambda value: {"template": TEMPLATE, "context": {"items": value, "x": ""}},
            {"context"},
            id="a value that is iterated",
        ),
        pytest.param(
            lambda value: {"template": TEMPLATE, "context": {"items": [], "x": value}},
            {"context"},
            id="a value",
        ),
    ],
)
def test_send_with_a_template(values: Callable[[Any], dict[str, Any]], fields: set[str]) -> None:
    kinds = {kind: make for kind, make in MAKERS.items() if "huge text" not in kind}

    def send(value: Any) -> None:
        api.send(to="ann@example.com", **values(value))

    assert not problems(send, fields, kinds=kinds)  # a loop over a million letters takes its time


def good(name: str) -> api.MergeRow:
    return api.MergeRow(f"{name}@example.com", {"items": ["x"], "x": "y"})


@pytest.mark.parametrize("argument", OF_A_MESSAGE)
def test_one_bad_row_of_send_many_is_one_refused_row(argument: str) -> None:
    arguments, fields = OF_A_MESSAGE[argument]
    kinds = {
        kind: make
        for kind, make in MAKERS.items()
        if is_hashable(make()) or ("name" not in argument and "key" not in argument)
    }

    def send(value: Any) -> None:
        row: dict[str, Any] = {
            "to": "ben@example.com",
            "context": {"items": [], "x": ""},
        } | arguments(value)
        result = api.send_many([good("ann"), api.MergeRow(**row), good("cid")], template=TEMPLATE)
        assert result.queued + len(result.refused) == 3
        if result.refused:
            ((place, error),) = [(one.place, one.error) for one in result.refused]
            assert place == 1
            assert set(Message.objects.values_list("to_summary", flat=True)) >= {
                "ann@example.com",
                "cid@example.com",
            }
            Message.objects.all().delete()
            raise error

    assert not problems(send, fields, kinds=kinds)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_value_that_is_not_a_merge_row_is_one_refused_row(kind: str) -> None:
    result = api.send_many([good("ann"), MAKERS[kind](), good("cid")], template=TEMPLATE)

    assert result.queued == 2
    assert [(one.place, one.error.field) for one in result.refused] == [(1, "rows")]


def test_a_bad_context_of_a_row_is_one_refused_row() -> None:
    def send(value: Any) -> None:
        rows = [good("ann"), api.MergeRow("ben@example.com", value), good("cid")]
        result = api.send_many(rows, template=TEMPLATE)
        assert result.queued == 2
        raise result.refused[0].error

    assert not problems(send, {"context"})


@pytest.mark.parametrize("argument", [*OF_ALL, "headers", "header", "attachments", "metadata"])
def test_what_is_wrong_with_all_rows_of_send_many_raises(argument: str) -> None:
    arguments, fields = OF_SEND[argument]

    def send(value: Any) -> None:
        common = {"subject": "Hello", "text": "Hello"} | arguments(value)
        result = api.send_many([api.MergeRow("ann@example.com")], **common)
        assert result.queued == 1, result.refused

    assert not problems(send, fields)


@pytest.mark.parametrize("argument", ["rows", "batch_size", "progress", "context", "template"])
def test_wrong_arguments_of_send_many_itself(argument: str) -> None:
    def send(value: Any) -> None:
        arguments: dict[str, Any] = {"rows": [], "subject": "Hello"} | {argument: value}
        if argument == "template":
            arguments.pop("subject")
        api.send_many(**arguments)

    fine = {"empty list", "set", "tuple", "list of None", "list of numbers", "list of bytes"}
    kinds = {kind: make for kind, make in MAKERS.items() if kind not in fine | {"broken generator"}}
    assert not problems(send, {argument}, kinds=kinds)
    if argument in {"rows", "batch_size"}:
        assert attempt(lambda: send(0)) == argument


FINISHED: dict[str, Any] = {
    "source": b"From: shop@example.com\r\nSubject: Hello\r\n\r\nHello\r\n",
    "envelope_sender": "shop@example.com",
    "recipients": [api.OutgoingRecipient("ann@example.com")],
}


@pytest.mark.parametrize("name", api.Outgoing.__dataclass_fields__)
def test_queue_ids(name: str) -> None:
    also = {"envelope_sender": {"from"}, "recipients": {"to"}}
    fields = {name} | also.get(name, set())

    def queue(value: Any) -> None:
        api.queue_ids([api.Outgoing(**FINISHED | {name: value})])

    assert not problems(queue, fields)


@pytest.mark.parametrize("name", ["address", "role", "name"])
def test_queue_ids_with_recipients(name: str) -> None:
    def queue(value: Any) -> None:
        recipient = api.OutgoingRecipient(**{"address": "ann@example.com"} | {name: value})
        api.queue_ids([api.Outgoing(**FINISHED | {"recipients": [recipient]})])

    assert not problems(queue, {"to", "recipients"})


@pytest.mark.parametrize("queue", [api.queue_ids, api.queue_sources])
def test_items_of_another_type(queue: Callable[[Any], object]) -> None:
    kinds = {kind: make for kind, make in MAKERS.items() if kind != "broken generator"}

    assert not problems(queue, {"items"}, kinds=kinds)
    assert not problems(lambda value: queue([value]), {"items"})


@pytest.mark.parametrize("name", ["account", *SendOptions.__annotations__])
def test_options_of_a_django_message(name: str) -> None:
    def send(value: Any) -> None:
        message: Any = EmailMessage("Hello", "Hello", "shop@example.com", ["ann@example.com"])
        message.outbox = {name: value}
        EmailBackend().send_messages([message])

    assert not problems(send, {name})


def test_the_attribute_of_a_django_message() -> None:
    def send(value: Any) -> None:
        message: Any = EmailMessage("Hello", "Hello", "shop@example.com", ["ann@example.com"])
        message.outbox = value
        EmailBackend().send_messages([message])

    kinds = {kind: make for kind, make in MAKERS.items() if kind != "class"}
    assert not problems(send, {"outbox"}, kinds=kinds)


@pytest.mark.parametrize("action", [api.cancel, api.retry, api.hold, api.release])
def test_the_reason_of_an_action(action: Callable[..., object]) -> None:
    handle = api.send(**PLAIN)

    assert not problems(lambda value: action(handle, why=value), {"why"})
    assert not problems(lambda value: api.resolve_uncertain(handle, State.SENT, why=value), {"why"})


def test_values_of_a_compiled_template() -> None:
    compiled = api.compile_template(api.Template(text="{{ x }}"))

    assert not problems(compiled.fill, {"context"})


def test_an_unknown_argument_names_the_function() -> None:
    with pytest.raises(TypeError, match=r"send\(\) got an unexpected keyword argument 'color'"):
        api.send(**PLAIN, color="red")  # type: ignore[call-arg]  # that is the mistake

    with pytest.raises(TypeError, match=r"send_many\(\) got an unexpected keyword argument"):
        api.send_many([], color="red")  # type: ignore[call-arg]  # that is the mistake


def test_an_account_that_was_not_saved_never_sends_as_the_default_one(shop: Any) -> None:
    unsaved = type(shop)(
        name="billing", from_address="billing@example.com", host="mail.example.com"
    )

    with pytest.raises(InvalidMessageError) as raised:
        api.send(**PLAIN, account=unsaved)

    assert raised.value.field == "account"
    assert not Message.objects.exists()

"""Reasons: codes with arguments. The sources are read, so that no code is missed."""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation
from django.utils.translation import gettext

from outbox.reasons import NO_REASON, Reason, ReasonCode, quoted

OUTBOX = Path(__file__).resolve().parents[2] / "outbox"
DEFINITION = {"reasons.py", "reason_codes.py"}
STORED = {"reason", "circuit_reason", "paused_reason", "result", "why", "detail", "cause_text"}
WRITERS = ("delivery", "smtp", "webhooks")
RESET = Reason(ReasonCode.CONNECTION_RESET)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of `Reason` in the package, with its place."""
    for path in sorted(OUTBOX.rglob("*.py")):
        if path.name in DEFINITION:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason":
                yield f"{path.relative_to(OUTBOX)}:{node.lineno}", node


def code_of(call: ast.Call) -> ReasonCode:
    """Return the code, which has to be written out, so that this test can read it."""
    (code,) = call.args
    assert isinstance(code, ast.Attribute)
    assert isinstance(code.value, ast.Name)
    assert code.value.id == "ReasonCode"
    return ReasonCode[code.attr]


def test_each_producer_passes_the_arguments_of_its_code() -> None:
    wrong = []
    for place, call in calls():
        code, given = code_of(call), {keyword.arg for keyword in call.keywords}
        if not code.arguments <= given <= code.arguments | {"reply"}:
            wrong.append(f"{place}: {code} takes {sorted(code.arguments)}, not {given}")
    assert wrong == []


def test_each_code_is_produced() -> None:
    produced = {code_of(call) for _, call in calls()}
    assert set(ReasonCode) - produced == {ReasonCode.QUOTED}  # `quoted` makes these


@pytest.mark.parametrize("code", ReasonCode)
def test_each_code_has_a_sentence_in_chinese(code: ReasonCode) -> None:
    with translation.override("zh-hans"):
        translated = gettext(code.template)
    if re.search(r"[a-z]", re.sub(r"%\(\w+\)s", "", code.template)):
        assert translated != code.template
    assert sorted(re.findall(r"%\(\w+\)s", translated)) == sorted(
        f"%({name})s" for name in code.arguments
    )


def test_each_sentence_belongs_to_one_code() -> None:
    codes = defaultdict(list)
    for code in ReasonCode:
        codes[code.template].append(code)
    assert [found for found in codes.values() if len(found) > 1] == []


def text_values(path: Path) -> Iterator[str]:
    """Yield where a column of reasons gets a text instead of a reason."""
    for node in ast.walk(ast.parse(path.read_text())):
        pairs: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Call):
            pairs = [(keyword.arg or "", keyword.value) for keyword in node.keywords]
            if getattr(node.func, "attr", getattr(node.func, "id", "")) == "SmtpFault":
                pairs += [("reason", value) for value in node.args[2:]]
        elif isinstance(node, ast.Assign):
            pairs = [(getattr(one, "attr", ""), node.value) for one in node.targets]
        for name, value in pairs:
            is_text = isinstance(value, ast.JoinedStr) or (
                isinstance(value, ast.Constant) and isinstance(value.value, str)
            )
            if name in STORED and is_text:
                yield f"{path.relative_to(OUTBOX)}:{value.lineno}"


@pytest.mark.parametrize("package", WRITERS)
def test_no_module_stores_a_sentence(package: str) -> None:
    found = [place for path in (OUTBOX / package).rglob("*.py") for place in text_values(path)]
    assert found == []


@pytest.mark.parametrize(
    "args", [{}, {"seconds": 5, "host": "x"}, {"host": "x"}, {"reply": "550 no"}], ids=str
)
def test_other_arguments_are_rejected(args: dict[str, str | int]) -> None:
    with pytest.raises(TypeError, match="connect_timeout has the arguments"):
        Reason(ReasonCode.CONNECT_TIMEOUT, **args)


@pytest.mark.parametrize(
    ("reason", "stored"),
    [
        (NO_REASON, ""),
        (RESET, "connection_reset"),
        (
            Reason(ReasonCode.CONNECT_TIMEOUT, seconds=0.5),
            'connect_timeout {"seconds":0.5}',
        ),
        (
            Reason(ReasonCode.REPLY_LOST, why=RESET),
            'reply_lost {"why":["connection_reset",{}]}',
        ),
        (quoted("中文 “x”"), 'quoted {"text":"中文 “x”"}'),
        (quoted(""), ""),
    ],
    ids=str,
)
def test_the_stored_form_is_read_back(reason: Reason, stored: str) -> None:
    assert reason.dump() == stored
    assert Reason.load(stored) == reason


def test_what_no_database_stores_is_replaced() -> None:
    assert json.loads(quoted("a\0b\ud83d").dump().partition(" ")[2]) == {"text": "a\ufffdb\ufffd"}


def test_a_sentence_is_made_in_the_reader_s_language() -> None:
    reason = Reason(ReasonCode.REPLY_LOST, why=RESET)
    assert str(reason) == (
        "The whole message was sent, but the server's reply was lost. The connection was reset."
    )
    with translation.override("zh-hans"):
        assert reason.in_words(gettext).endswith("连接被重置。")


def test_a_reply_follows_the_sentence_word_for_word() -> None:
    reason = Reason(ReasonCode.LOGIN_REJECTED).with_reply("535 5.7.8 No %(such)s user")
    assert str(reason) == (
        "The server rejected the login. The server replied: 535 5.7.8 No %(such)s user"
    )
    assert str(Reason(ReasonCode.SERVER_REPLY, reply="451 later")) == "451 later"
    assert RESET.with_reply(None) is RESET


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("quota_exceeded", "quota exceeded"),
        (
            'quota_exceeded {"limit":5000,"reply":"452 full"}',
            "quota exceeded (limit: 5,000) The server replied: 452 full",
        ),
        ('connect_timeout {"other":1}', "connect timeout (other: 1)"),
        ('limit_per_day {"limit":[1,2]}', "The limit of recipients per day is reached ([1, 2])."),
        ("Written by hand_with an editor", "Written by hand_with an editor"),
        ("broken {json", "broken {json"),
    ],
)
def test_a_code_of_another_version_is_readable(stored: str, shown: str) -> None:
    assert str(Reason.load(stored)) == shown
    assert Reason.load(stored).dump().startswith(stored[:5])


def test_reasons_are_values() -> None:
    assert {RESET, Reason(ReasonCode.CONNECTION_RESET)} == {RESET}
    assert not NO_REASON
    assert RESET.as_dict() == {
        "code": "connection_reset",
        "arguments": {},
        "text": "The connection was reset.",
    }

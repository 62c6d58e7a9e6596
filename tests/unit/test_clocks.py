"""Which modules may ask their host for the time: all others follow the clock of the database."""

import ast
from collections.abc import Iterator
from pathlib import Path

OUTBOX = Path(__file__).resolve().parents[2] / "outbox"

# Of each use, the reason. `time.monotonic` measures durations and is not a time of day.
ALLOWED = {
    ("api/alarms/facts.py", "time.time"): "compared with the clock of the database",
    ("db/clock.py", "dt.datetime.now"): "before the first connection, and on SQLite",
    ("management/importing/post_office.py", "timezone.now"): "a column of django-post_office",
    (
        "models/message.py",
        "timezone.now",
    ): "the default, where neither a draft nor a queue wrote it",
    ("net/sns.py", "dt.datetime.now"): "the validity of a certificate, as TLS compares it",
    ("testing/certificates.py", "dt.datetime.now"): "the certificates of a test server",
    ("testing/mailboxes.py", "time.time_ns"): "the names of a test server's files",
    ("testing/ledger_file.py", "time.time"): "what a test server received",
    ("testing/oauth.py", "time.time"): "an identity provider of tests has its own clock",
}
CLOCKS = {
    "timezone.now", "timezone.localdate", "time.time", "time.time_ns", "datetime.now",
    "datetime.utcnow", "datetime.today", "date.today", "time.localtime", "time.gmtime",
}  # fmt: skip
# Without an argument these start from the present time of the host.
PRESENT_WITHOUT_ARGUMENTS = {"timezone.localtime", "formatdate", "localtime"}
AUTOMATIC = {"auto_now", "auto_now_add"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(OUTBOX.rglob("*.py")):
        if "migrations" not in path.parts:
            yield path.relative_to(OUTBOX).as_posix(), ast.parse(path.read_text())


def uses(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if any(name == clock or name.endswith(f".{clock}") for clock in CLOCKS):
                yield name
        elif isinstance(node, ast.Call) and not node.args and not node.keywords:
            name = ast.unparse(node.func)
            if name in PRESENT_WITHOUT_ARGUMENTS:
                yield name


def test_no_module_but_these_reads_the_clock_of_its_host() -> None:
    found = {(name, use) for name, tree in modules() for use in uses(tree)}

    assert found == set(ALLOWED)


def test_automatic_times_of_models_follow_the_database() -> None:
    automatic = [
        (name, ast.unparse(node.func))
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and AUTOMATIC & {each.arg for each in node.keywords}
    ]

    assert automatic
    assert {field for _, field in automatic} == {"DatabaseTimeField"}, automatic

"""Messages of many servers and languages are what their samples say (protocol items 126 to 133)."""

from typing import Any

import pytest

from outbox.inbound.inspect import inspect
from tests.unit.inbound.samples import read_samples

SAMPLES = read_samples()
NAMES = [f"{sample['file']}: {sample['name']}" for sample in SAMPLES]


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_a_sample_is_classified(sample: dict[str, Any]) -> None:
    found = inspect(sample["source"])
    assert found.kind == sample["kind"]
    assert {one.address: one.bounce_type for one in found.recipients} == sample["recipients"]
    if "original" in sample:
        assert found.original_message_id == sample["original"]
    if "envelope_id" in sample:
        assert found.envelope_id == sample["envelope_id"]
    if "rule" in sample:
        assert found.recipients[0].rule == sample["rule"]


def test_there_are_samples_of_every_kind() -> None:
    assert len(SAMPLES) >= 60
    assert len(set(NAMES)) == len(NAMES)
    assert {sample["kind"] for sample in SAMPLES} == {
        "message", "bounce", "delay", "auto-reply", "complaint", "receipt",
    }  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_line_ends_change_nothing(sample: dict[str, Any]) -> None:
    source = sample["source"].replace(b"\r\n", b"\n")
    assert inspect(source) == inspect(source.replace(b"\n", b"\r\n"))


def test_the_final_recipient_is_kept_beside_the_original_one() -> None:
    sample = next(one for one in SAMPLES if "final recipient differ" in one["name"])
    (report,) = inspect(sample["source"]).recipients
    assert (report.address, report.final_recipient) == ("alias+x@far.test", "real@inner.far.test")


def test_a_report_has_the_status_and_the_reason_in_one_line() -> None:
    sample = next(one for one in SAMPLES if one["name"] == "RFC 3464, Postfix")
    (report,) = inspect(sample["source"]).recipients
    assert (report.action, report.status) == ("failed", "5.1.1")
    assert report.reason.endswith("rejected: User unknown in local recipient table")

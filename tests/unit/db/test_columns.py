"""Bulk statements take their columns from the models."""

import pytest
from django.db.models import Model

from outbox.db.columns import Column, columns_of
from outbox.models import Attempt, Message, Recipient, Source


def names_of(model: type[Model]) -> list[str]:
    return [str(field.column) for field in model._meta.local_concrete_fields]


def test_a_column_has_the_type_in_which_its_values_travel() -> None:
    assert columns_of(Recipient, ("message_id", "reply_code", "reply_text", "expires_at")) == (
        Column("message_id", "bigint"),
        Column("reply_code", "smallint"),
        Column("reply_text", "text"),
        Column("expires_at", "timestamptz"),
    )


def test_a_column_may_keep_what_is_there() -> None:
    kept, other = columns_of(
        Recipient, ("reply_text", "state"), kept_without={"reply_text": "reply_code"}
    )
    assert (kept.kept_without, other.kept_without) == ("reply_code", "")


def test_a_column_that_the_table_does_not_have_is_found_at_once() -> None:
    with pytest.raises(KeyError, match="closed_at"):
        columns_of(Recipient, ("state", "closed_at"))


@pytest.mark.parametrize("model", [Message, Recipient, Attempt])
def test_every_column_of_a_hot_table_can_be_written(model: type[Model]) -> None:
    assert len(columns_of(model, names_of(model))) == len(names_of(model))


def test_bytes_are_not_for_bulk_statements() -> None:
    with pytest.raises(KeyError, match="BinaryField"):
        columns_of(Source, ("data",))

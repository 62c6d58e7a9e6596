"""The columns of raw inserts come from the models."""

import datetime as dt

import pytest
from django.db import models
from django.test.utils import isolate_apps

from outbox import api
from outbox.db.columns import complete, typed
from outbox.models import Account, Message, Recipient


class TestComplete:
    @pytest.fixture(autouse=True)
    def model(self) -> type[models.Model]:
        with isolate_apps("outbox"):

            class Thing(models.Model):  # noqa: DJ008  # never displayed
                name = models.TextField()
                count = models.IntegerField(default=7)
                note = models.CharField(max_length=9, db_default="it's")
                is_new = models.BooleanField(default=True)
                data = models.JSONField(default=dict)
                seen_at = models.DateTimeField(null=True)
                parent = models.ForeignKey("self", models.SET_NULL, null=True)

                class Meta:
                    app_label = "outbox"

            return Thing

    def test_every_column_has_an_expression(self, model: type[models.Model]) -> None:
        assert complete(model, {"name": "v.name"}) == {
            "name": "v.name",
            "count": "7",
            "note": "'it''s'",
            "is_new": "true",
            "data": "'{}'",
            "seen_at": "NULL",
            "parent_id": "NULL",
        }

    def test_an_unknown_column_is_rejected(self, model: type[models.Model]) -> None:
        with pytest.raises(KeyError):
            complete(model, {"size": "1"})

    def test_a_default_that_depends_on_the_moment_must_be_given(self) -> None:
        with isolate_apps("outbox"):

            class Dated(models.Model):  # noqa: DJ008  # never displayed
                at = models.DateTimeField(default=lambda: dt.datetime.now(dt.UTC))

                class Meta:
                    app_label = "outbox"

        with pytest.raises(TypeError):
            complete(Dated, {})

    def test_columns_are_listed_with_their_types(self, model: type[models.Model]) -> None:
        assert typed(model, ["count", "parent_id"]) == "count integer, parent_id bigint"


@pytest.mark.django_db
def test_a_queued_message_has_the_defaults_of_its_models() -> None:
    Account.objects.create(
        name="a", from_address="shop@example.org", host="127.0.0.1", is_app_default=True
    )
    api.send(to="ann@example.com", subject="Hello", text="Hello")

    message, recipient = Message.objects.get(), Recipient.objects.get()
    for row, model in ((message, Message()), (recipient, Recipient())):
        differing = {
            field.name
            for field in row._meta.concrete_fields
            if getattr(row, field.attname) != getattr(model, field.attname)
        }
        assert differing <= WRITTEN


WRITTEN = {  # by the queue; every other column has its default
    "id", "account", "origin", "status", "folder", "subject", "from_header", "envelope_sender",
    "to_summary", "snippet", "message_id", "size", "recipient_count", "created_at", "listed_at",
    "queued_at", "expires_at", "related_id", "message", "address", "destination", "next_attempt_at",
}  # fmt: skip

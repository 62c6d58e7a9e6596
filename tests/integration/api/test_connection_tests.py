"""A user has one connection test at a time."""

import threading

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connections, transaction

from outbox.api.connection_tests import TestRunningError, request_test
from outbox.models import Account, ConnectionTest


@pytest.mark.django_db(transaction=True)
def test_of_two_first_requests_at_the_same_time_one_is_rejected(ann: User) -> None:
    account = Account(host="mail.example.com", port=587, security="starttls")
    errors: list[Exception] = []

    def request_another() -> None:
        try:
            request_test(ann, account, "secret", fingerprint="2")
        except (IntegrityError, TestRunningError) as error:
            errors.append(error)
        finally:
            connections.close_all()

    other = threading.Thread(target=request_another)
    with transaction.atomic():
        first = request_test(ann, account, "secret", fingerprint="1")
        other.start()
        other.join(1)  # it waits for this transaction, whose row it cannot see
        assert other.is_alive()
    other.join(30)

    assert [type(error) for error in errors] == [TestRunningError]
    assert ConnectionTest.objects.get().token == first.token

"""Test a connection as a browser does, with a worker that makes the test."""

from typing import Any

from django.test import Client
from django.urls import reverse

from outbox.delivery import connection_tests

IN_PAGE = {"HTTP_HX_REQUEST": "true"}


def result_of(client: Client, url: str, data: dict[str, str] | None = None) -> Any:
    """Request a test with scripts, make it as a worker does, and return the response about it."""
    response = client.post(url, data or {}, **IN_PAGE)  # type: ignore[arg-type]  # headers
    if "pending" not in response.context:
        return response
    assert connection_tests.run_due("default") == 1
    address = reverse("outbox:account-test-result", args=[response.context["pending"].token])
    query = {"start": ""} if "is_start" in response.context else {}
    return client.get(address, query, **IN_PAGE)  # type: ignore[arg-type]  # headers


def page_of_result(client: Client, url: str, data: dict[str, str]) -> Any:
    """Do the same without scripts: the form is posted again with the test's token."""
    response = client.post(url, data)
    if "pending" not in response.context:
        return response
    connection_tests.run_due("default")
    return client.post(url, data | {"test": response.context["pending"].token})

"""`/healthz` answers probes as they come, and tells strangers nothing."""

import pytest
from django.db import connection
from django.test import Client, override_settings


@pytest.mark.django_db
def test_it_answers_while_the_database_does(client: Client) -> None:
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.content == b"ok\n"


@pytest.mark.django_db
@override_settings(SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=["mail.example.com"])
def test_it_answers_a_probe_without_tls_by_any_name(client: Client) -> None:
    assert client.get("/healthz", headers={"host": "10.1.2.3:8000"}).status_code == 200
    assert client.get("/accounts/login/", headers={"host": "10.1.2.3:8000"}).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_it_says_503_and_no_more_when_the_database_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reachable = dict(connection.settings_dict)
    connection.close()
    try:
        unreachable = {"NAME": "/nonexistent/database", "HOST": "/nonexistent", "PASSWORD": "word"}
        connection.settings_dict.update(unreachable | {"OPTIONS": {}})
        response = client.get("/healthz")
    finally:
        connection.close()
        connection.settings_dict.update(reachable)
    assert response.status_code == 503
    assert response.content == b"database unavailable\n"

"""The system check of proxies."""

import pytest
from django.conf import LazySettings

from signin.checks import check_proxies


@pytest.mark.parametrize(
    ("header", "proxies", "warns"),
    [
        (None, [], False),
        (("HTTP_X_FORWARDED_PROTO", "https"), [], True),
        (("HTTP_X_FORWARDED_PROTO", "https"), ["10.0.0.0/8"], False),
    ],
)
def test_a_proxy_without_its_address_is_reported(
    settings: LazySettings, header: object, proxies: list[str], warns: bool
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = header
    settings.OUTBOX = {**settings.OUTBOX, "TRUSTED_PROXIES": proxies}
    found = [message.id for message in check_proxies(None)]
    assert found == (["signin.W001"] if warns else [])

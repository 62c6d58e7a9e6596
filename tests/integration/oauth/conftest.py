"""A provider and a mail server of the lab."""

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from outbox.testing.oauth import IdentityProvider
from outbox.testing.oauth_smtp import TokenMailServer
from tests.integration.delivery.conftest import OURS


@pytest.fixture(autouse=True)
def _ours(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | OURS


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """An identity provider."""
    with IdentityProvider() as running:
        yield running


@pytest.fixture
def google(provider: IdentityProvider) -> Iterator[TokenMailServer]:
    """A mail server that responds as Google's does."""
    with TokenMailServer(provider, "google") as server:
        yield server


@pytest.fixture
def microsoft(provider: IdentityProvider) -> Iterator[TokenMailServer]:
    """A mail server that responds as Microsoft's does."""
    with TokenMailServer(provider, "microsoft") as server:
        yield server

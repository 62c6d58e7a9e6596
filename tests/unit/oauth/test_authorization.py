"""The authorization URL: scopes, PKCE and what each provider needs besides."""

from urllib.parse import parse_qs, urlsplit

from outbox.oauth import (
    Endpoints,
    authorization_url,
    code_challenge,
    custom,
    google,
    microsoft,
    new_state,
    new_verifier,
)


def query_of(endpoints: Endpoints) -> dict[str, list[str]]:
    url = authorization_url(
        endpoints,
        client_id="client",
        redirect_uri="https://mail.example.com/callback/",
        state="the state",
        verifier="v" * 64,
        login_hint="anna+work@example.com",
    )
    assert url.startswith(endpoints.authorization_url)
    return parse_qs(urlsplit(url).query, strict_parsing=True)


def test_google_is_asked_for_offline_access_and_one_scope() -> None:
    query = query_of(google())
    assert query["scope"] == ["https://mail.google.com/"]
    assert query["access_type"] == ["offline"]
    assert query["prompt"] == ["consent"]


def test_microsoft_is_asked_for_offline_access_by_a_scope() -> None:
    query = query_of(microsoft())
    assert query["scope"] == ["https://outlook.office.com/SMTP.Send offline_access"]
    assert "access_type" not in query
    fetching = query_of(microsoft(fetches=True))["scope"][0].split()
    assert "https://outlook.office.com/POP.AccessAsUser.All" in fetching


def test_a_tenant_is_part_of_the_path() -> None:
    assert "/common/" in microsoft().token_url
    assert "/contoso.example/" in microsoft("contoso.example").token_url
    assert "/a%2F..%2Fb/" in microsoft("a/../b").token_url


def test_the_query_binds_session_and_verifier() -> None:
    query = query_of(google())
    assert query["state"] == ["the state"]
    assert query["login_hint"] == ["anna+work@example.com"]
    assert query["code_challenge_method"] == ["S256"]
    assert query["code_challenge"] == [code_challenge("v" * 64)]


def test_the_challenge_is_that_of_the_rfc() -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_each_flow_has_its_own_values() -> None:
    assert new_state() != new_state()
    assert 43 <= len(new_verifier()) <= 128


def test_a_url_may_have_a_query_already() -> None:
    endpoints = custom("X", "https://id.example/auth?realm=a", "https://id.example/t", ("mail",))
    assert query_of(endpoints)["realm"] == ["a"]

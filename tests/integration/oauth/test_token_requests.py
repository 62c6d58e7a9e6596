"""Token requests to a real provider over real sockets, in each of its troubles."""

import base64
import datetime as dt
import json
import time

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from outbox.oauth import (
    Client,
    Effect,
    Endpoints,
    Signer,
    TokenFault,
    custom,
    exchange_code,
    refresh,
    request_app_token,
)
from outbox.oauth.assertions import KeyInvalidError
from outbox.oauth.discovery import DiscoveryError, discover
from outbox.testing.oauth import SCOPE, IdentityProvider, Trouble

RETURN = "https://mail.example.com/callback/"


def endpoints_of(provider: IdentityProvider) -> Endpoints:
    return custom("Lab", f"{provider.url}/authorize", f"{provider.url}/token", (SCOPE,))


def client_of(provider: IdentityProvider, seconds: float = 20) -> Client:
    return Client(
        client_id=provider.client_id,
        secret=provider.client_secret,
        is_allowed=lambda address: True,
        allow_http=True,
        seconds=seconds,
    )


def code_of(provider: IdentityProvider, challenge: str) -> str:
    return provider.issue_code(
        {
            "login_hint": "anna@example.com",
            "code_challenge": challenge,
            "redirect_uri": RETURN,
            "scope": SCOPE,
        }
    )


def refreshed(provider: IdentityProvider, token: str, seconds: float = 20) -> str:
    found = refresh(endpoints_of(provider), client_of(provider, seconds), token)
    return found.access_token


def fault_in(provider: IdentityProvider, trouble: Trouble, seconds: float = 20) -> TokenFault:
    token = provider.grant("anna@example.com")
    provider.fail_next(trouble)
    with pytest.raises(TokenFault) as caught:
        refreshed(provider, token, seconds)
    return caught.value


def test_a_code_is_exchanged_once_and_only_with_its_verifier(provider: IdentityProvider) -> None:
    from outbox.oauth import code_challenge, new_verifier

    verifier = new_verifier()

    def exchange(code: str, verifier: str) -> str:
        return exchange_code(
            endpoints_of(provider),
            client_of(provider),
            code=code,
            verifier=verifier,
            redirect_uri=RETURN,
        ).access_token

    with pytest.raises(TokenFault) as caught:
        exchange(code_of(provider, code_challenge(verifier)), new_verifier())
    assert caught.value.effect is Effect.REJECTED
    code = code_of(provider, code_challenge(verifier))
    assert provider.is_current("anna@example.com", exchange(code, verifier))
    with pytest.raises(TokenFault):
        exchange(code, verifier)


def test_a_rotated_refresh_token_is_returned_and_the_former_one_is_rejected(
    provider: IdentityProvider,
) -> None:
    first = provider.grant("anna@example.com")
    found = refresh(endpoints_of(provider), client_of(provider), first)
    assert found.refresh_token
    assert found.refresh_token != first
    assert found.lifetime == 3600
    with pytest.raises(TokenFault) as caught:
        refreshed(provider, first)
    assert caught.value.effect is Effect.REJECTED


def test_a_revoked_access_is_a_rejection(provider: IdentityProvider) -> None:
    token = provider.grant("anna@example.com")
    provider.revoke("anna@example.com")
    with pytest.raises(TokenFault) as caught:
        refreshed(provider, token)
    assert caught.value.reason.code == "token_revoked"


TROUBLES = [
    pytest.param(Trouble.RATE_LIMIT, "token_service_status", id="429"),
    pytest.param(Trouble.TIMEOUT, "token_service_status", id="408"),
    pytest.param(Trouble.ERROR, "token_request_rejected", id="500"),
    pytest.param(Trouble.HTML, "token_response_invalid", id="html"),
    pytest.param(Trouble.CLOSED, "token_service_unreachable", id="closed"),
]


@pytest.mark.parametrize(("trouble", "code"), TROUBLES)
def test_troubles_of_the_service_hold_nothing(
    provider: IdentityProvider, trouble: Trouble, code: str
) -> None:
    fault = fault_in(provider, trouble)
    assert fault.effect is Effect.UNAVAILABLE
    assert fault.reason.code == code


def test_the_service_says_how_long_to_wait(provider: IdentityProvider) -> None:
    assert fault_in(provider, Trouble.RATE_LIMIT).wait == 120
    assert fault_in(provider, Trouble.ERROR).wait == 0


def test_a_slow_service_costs_no_more_than_the_time_allowed(provider: IdentityProvider) -> None:
    provider.delay = 30
    began = time.monotonic()
    fault = fault_in(provider, Trouble.SLOW, seconds=0.5)
    assert fault.effect is Effect.UNAVAILABLE
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("trouble", [Trouble.INVALID_CLIENT, Trouble.UNAUTHORIZED])
def test_a_rejected_client_holds(provider: IdentityProvider, trouble: Trouble) -> None:
    fault = fault_in(provider, trouble)
    assert fault.effect is Effect.REJECTED
    assert fault.reason.code == "token_client_rejected"


def test_the_clock_of_the_provider_does_not_matter(provider: IdentityProvider) -> None:
    provider.clock_skew = -7200
    found = refresh(endpoints_of(provider), client_of(provider), provider.grant("a@example.com"))
    assert found.lifetime == 3600


def test_a_narrower_scope_is_noticed(provider: IdentityProvider) -> None:
    endpoints = endpoints_of(provider)
    client = client_of(provider)
    assert refresh(endpoints, client, provider.grant("a@example.com")).has_scopes_of(endpoints)
    narrow = provider.grant("a@example.com", "https://www.googleapis.com/auth/userinfo.email")
    assert not refresh(endpoints, client, narrow).has_scopes_of(endpoints)


def test_addresses_that_are_not_allowed_get_no_request(provider: IdentityProvider) -> None:
    client = Client(client_id="c", secret="s", allow_http=True)  # the default rule: public ones
    with pytest.raises(TokenFault) as caught:
        refresh(endpoints_of(provider), client, "token")
    assert caught.value.effect is Effect.UNAVAILABLE
    assert provider.requests == []


def test_tokens_are_sent_over_https_only(provider: IdentityProvider) -> None:
    client = Client(client_id="c", secret="s", is_allowed=lambda address: True)
    with pytest.raises(TokenFault, match="not https"):
        refresh(endpoints_of(provider), client, "token")
    assert provider.requests == []


def test_no_representation_contains_a_secret(provider: IdentityProvider) -> None:
    found = refresh(endpoints_of(provider), client_of(provider), provider.grant("a@example.com"))
    shown = repr(found) + repr(client_of(provider))
    assert found.access_token not in shown
    assert found.refresh_token not in shown
    assert provider.client_secret not in shown


def test_an_app_gets_a_token_of_its_own(provider: IdentityProvider) -> None:
    found = request_app_token(
        endpoints_of(provider), client_of(provider), signer=None, subject="", now=0
    )
    assert found.access_token
    assert not found.refresh_token
    assert provider.requests == ["client_credentials"]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_service_account_signs_for_a_mailbox(key: rsa.RSAPrivateKey) -> None:
    text = json.dumps({"private_key": pem_of(key), "client_email": "robot@x.example"})
    signer = Signer.load(text)
    jwt = signer.sign(signer.issuer, "https://oauth2.example/token", 1_000_000, {"sub": "anna@x"})
    head, body, signature = jwt.split(".")
    claims = json.loads(decoded(body))
    assert claims["iss"] == "robot@x.example"
    assert claims["sub"] == "anna@x"
    assert claims["iat"] < 1_000_000 < claims["exp"] <= 1_000_000 + 3600
    assert json.loads(decoded(head))["alg"] == "RS256"
    key.public_key().verify(
        decoded(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def certificate_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "app")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_a_certificate_signs_and_is_named(key: rsa.RSAPrivateKey) -> None:
    pem = certificate_of(key)
    certificate = x509.load_pem_x509_certificate(pem.encode())
    signer = Signer.load(pem + pem_of(key))
    assert not signer.is_service_account
    head, body, signature = signer.sign("app", "https://t.example", 0, {"sub": "app"}).split(".")
    assert json.loads(decoded(head))["alg"] == "PS256"
    assert decoded(signer.thumbprint) == certificate.fingerprint(hashes.SHA256())
    key.public_key().verify(
        decoded(signature),
        f"{head}.{body}".encode(),
        padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32),
        hashes.SHA256(),
    )


def test_a_certificate_with_an_unsupported_key_is_reported() -> None:
    """Of the same form, with an object identifier of a key that the library does not know."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = certificate_of(key)
    pem = certificate + pem_of(key)
    with pytest.raises(KeyInvalidError, match="not an RSA key"):
        Signer.load(pem)
    der = base64.b64decode("".join(pem_of(key).splitlines()[1:-1]))
    curve = bytes.fromhex("06082a8648ce3d030107")
    assert curve in der
    unknown = base64.encodebytes(der.replace(curve, bytes.fromhex("06082a8648ce3d03017f")))
    text = f"-----BEGIN PRIVATE KEY-----\n{unknown.decode()}-----END PRIVATE KEY-----\n"
    with pytest.raises(UnsupportedAlgorithm):
        serialization.load_pem_private_key(text.encode(), password=None)
    with pytest.raises(KeyInvalidError, match="no private key"):
        Signer.load(certificate + text)


@pytest.mark.parametrize("text", ["", "{}", "{", "nonsense", '{"private_key": 1}'])
def test_a_key_that_is_none_is_reported(text: str) -> None:
    with pytest.raises(KeyInvalidError):
        Signer.load(text)


def test_endpoints_are_found_by_the_issuer(provider: IdentityProvider) -> None:
    found = discover(provider.url, client_of(provider))
    assert found.token_url == f"{provider.url}/token"
    assert found.authorization_url == f"{provider.url}/authorize"


def test_an_issuer_in_the_private_network_is_not_asked(provider: IdentityProvider) -> None:
    with pytest.raises(DiscoveryError):
        discover(provider.url, Client(client_id="", allow_http=True))

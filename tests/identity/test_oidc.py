"""Tokens of OpenID Connect providers (IAM-12): which are accepted, and that no other is."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.oidc import TokenExpired, TokenFault, check_keys, issuer_of, verify
from tests.identity.providers import CLIENT, ISSUER, NOW, claims, ec_key, jwks, rsa_key, token

KEYS = jwks(0, 1)
PUBLIC_PEM = rsa_key().public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip


def check(text: str, keys: str = KEYS, now: Any = NOW) -> Any:
    assert issuer_of(text) == ISSUER
    return verify(text, keys, (CLIENT, "other"), now)


@pytest.mark.parametrize(
    "text",
    [token(), token("ec", "ES256"), token(aud=[CLIENT]), token(aud=["x", "y"], azp="other"), token(nbf=None),
     token(algorithm="RS512")],
)  # fmt: skip
def test_good_tokens(text: str) -> None:
    found = check(text)
    assert (found.issuer, found.subject) == (ISSUER, "repo:acme/site")
    assert found.audience in (CLIENT, "other")


def test_a_token_without_a_key_name_needs_the_only_key() -> None:
    assert check(token(kid=None), jwks(0, with_ec=False))
    with pytest.raises(TokenFault):
        check(token(kid=None))


def _unsigned() -> str:
    return jwt.encode(claims(), None, "none")  # type: ignore[arg-type]


def _confused() -> str:
    """Signed by HMAC with the public key as the secret."""
    head = _part({"alg": "HS256", "typ": "JWT", "kid": "rsa0"})
    body = _part(claims())
    mac = __import__("hmac").digest(PUBLIC_PEM, f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _swapped() -> str:
    head, _, mac = token().split(".")
    return f"{head}.{_part(claims(sub='repo:evil/site'))}.{mac}"


MOMENT = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (token(key=rsa_key(1)), "signature"),  # named another key than it is signed with
        (token(kid="unknown"), "verification key"),
        (token(kid="ec"), "signature"),  # RSA signature, EC key
        (_unsigned(), "verification key"),
        (_confused(), "signature"),
        (_swapped(), "signature"),
        (token()[:-8] + "AAAAAAAA", "signature"),
        (token() + "x", "JWT|signature"),
        (token(aud="someone-else"), "audience"),
        (token(aud=["x", CLIENT]), "audience"),
        (token(aud=["x", CLIENT], azp="x"), "audience"),
        (token(aud=[]), "audience"),
        (token(aud={}), "audience"),
        (token(aud=None), "aud"),
        (token(sub=None), "sub"),
        (token(sub=""), "sub"),
        (token(exp=None), "exp"),
        (token(iat=None), "iat"),
        (token(iat=MOMENT + 301), "future"),
        (token(nbf=MOMENT + 301), "not valid yet"),
        (token(iat=True), "not a date"),
    ],
)
def test_refused_tokens(text: str, message: str) -> None:
    with pytest.raises(TokenFault, match=message):
        check(text)


def test_an_expired_token_says_so() -> None:
    assert check(token(), now=NOW + timedelta(seconds=599))
    with pytest.raises(TokenExpired):
        check(token(), now=NOW + timedelta(seconds=600))


@given(st.text() | st.text("ab.=-_").map(lambda text: token()[:40] + text))
def test_anything_else_is_a_fault_and_no_accident(text: str) -> None:
    with pytest.raises(TokenFault):
        issuer_of(text)
    with pytest.raises(TokenFault):
        verify(text, KEYS, (CLIENT,), NOW)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keys": []}', '{"keys": [{}]}', "{" * 5000, '{"keys": 1}'])
def test_what_is_no_key_set(text: str) -> None:
    with pytest.raises(TokenFault):
        check_keys(text)


def test_a_key_set_with_private_or_shared_keys_is_refused() -> None:
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key()))
    for key in (private, {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"},
                json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key()))):  # fmt: skip
        with pytest.raises(TokenFault):
            check_keys(json.dumps({"keys": [key]}))
    check_keys(KEYS)

"""Identity tokens of OpenID Connect providers (OpenID Connect Core 1.0, section 3.1.3.7; RFC 7519; IAM-12).

Verified against the key set given to the installation: nothing is fetched. PyJWT checks signature and times; what AWS
asks beyond that is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import jwt

#: IAM User Guide, "Obtain the thumbprint…" and "OIDC federation": RSA and ECDSA signatures; never `none`, never a shared secret
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
LEEWAY_SECONDS = 300  # AWS: clock skew that is forgiven


class TokenFault(Exception):
    """A token that is refused; the message says why."""


class TokenExpired(TokenFault):
    """A token whose time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentity:
    """What a verified token says. `claims` are those that are texts, numbers, booleans or lists of texts."""

    issuer: str
    subject: str
    audience: str
    authorized_party: str | None
    claims: Mapping[str, Any]


def address_of(url: str) -> str:
    """A provider's URL without scheme and closing slash, as its ARN and its condition keys have it."""
    return url.removeprefix("https://").rstrip("/")


def issuer_of(token: str) -> str:
    """The issuer a token claims, unverified: whose keys to ask. TokenFault when it is no JWT."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenFault(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
        ) from None
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        raise TokenFault("Missing a required claim: iss")
    return issuer


@lru_cache(maxsize=64)
def _key_set(text: str) -> jwt.PyJWKSet:
    return jwt.PyJWKSet.from_dict(json.loads(text))


def check_keys(text: str) -> int:
    """How many keys a set holds. TokenFault unless the text is a JSON Web Key Set (RFC 7517) with public keys that can be used here."""
    try:
        keys = _key_set(text).keys
    except (jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise TokenFault(f"not a usable JSON Web Key Set: {problem}") from None
    for key in keys:
        if key.key_type not in ("RSA", "EC") or hasattr(key.key, "private_numbers"):
            raise TokenFault("the key set must hold public RSA or EC keys only")
    return len(keys)


def verify(token: str, keys: str, client_ids: tuple[str, ...], now: datetime) -> WebIdentity:
    """The identity of a token that a provider with these keys issued for one of these clients.

    Signature, `exp`, `iat`, `nbf`, `sub` and `aud`; of several audiences the `azp` is the one (AWS). TokenFault, TokenExpired.
    """
    key = _key_for(token, keys)
    try:
        claims = jwt.decode(
            token, key.key, algorithms=[name for name in ALGORITHMS if name[:2] == _family(key)],
            options={"require": ["exp", "iat", "sub", "aud", "iss"], "verify_signature": True, "verify_aud": False,
                     "verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_sub": True},
        )  # fmt: skip
    except jwt.MissingRequiredClaimError as problem:
        raise TokenFault(f"Missing a required claim: {problem.claim}") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenFault("Couldn't verify the signature of the token") from None
    _check_times(claims, now.timestamp())
    audience, party = _audience(claims), claims.get("azp")
    if audience not in client_ids:
        raise TokenFault("Incorrect token audience")
    if not claims["sub"]:
        raise TokenFault("Missing a required claim: sub")
    return WebIdentity(
        issuer=claims["iss"], subject=claims["sub"], audience=audience,
        authorized_party=party if isinstance(party, str) else None, claims=claims,
    )  # fmt: skip


def _family(key: jwt.PyJWK) -> str:
    return {"RSA": "RS", "EC": "ES"}.get(str(key.key_type), "")


def _key_for(token: str, keys: str) -> jwt.PyJWK:
    """The key the token names; without a name, the only one there is."""
    check_keys(keys)
    held = _key_set(keys).keys
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenFault("The ID Token provided is not a valid JWT.") from None
    named = [key for key in held if key.key_id == kid] if kid is not None else held
    if len(named) != 1:
        raise TokenFault("Couldn't retrieve verification key from your identity provider")
    return named[0]


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    """By the installation's clock, not by the one PyJWT would ask."""
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
            raise TokenFault(f"The claim {name} is not a date")
    if claims["exp"] <= now:
        raise TokenExpired("Token expired: current date/time must be before the expiration date/time")
    if claims["iat"] > now + LEEWAY_SECONDS:
        raise TokenFault("Token issued in the future")
    if claims.get("nbf", 0) > now + LEEWAY_SECONDS:
        raise TokenFault("Token is not valid yet")


def _audience(claims: Mapping[str, Any]) -> str:
    """AWS: `aud`, but `azp` where the token names several audiences."""
    given = claims["aud"]
    if isinstance(given, str):
        return given
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        if len(given) == 1:
            return str(given[0])
        if isinstance(claims.get("azp"), str):
            return str(claims["azp"])
    raise TokenFault("Incorrect token audience")

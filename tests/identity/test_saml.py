"""SAML responses (IAM-12): which are accepted, and that no signature vouches for what it does not cover."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.identity.saml import AssertionExpired, AssertionFault, name_qualifier, read_metadata, verify
from tests.identity.providers import (
    ENTITY,
    NOW,
    RECIPIENT,
    ROLE_ARN,
    SAML_ARN,
    assertion,
    encoded,
    good,
    metadata,
    response,
    signed,
)

PROVIDER = read_metadata(metadata())


def test_a_good_response() -> None:
    extra = {
        "SessionDuration": "1800",
        "SourceIdentity": "ann",
        "PrincipalTag:Team": "net",
        "TransitiveTagKeys": "Team",
    }
    found = verify(good(attributes=extra), PROVIDER, NOW)
    assert (found.issuer, found.subject, found.subject_type) == (ENTITY, "ann@example.com", "persistent")
    assert (found.recipient, found.roles) == (RECIPIENT, ((ROLE_ARN, SAML_ARN),))
    assert (found.session_name, found.session_seconds, found.source_identity) == ("ann", 1800, "ann")
    assert (found.tags, found.transitive) == ((("Team", "net"),), ("Team",))


@pytest.mark.parametrize(
    "text",
    [
        encoded(signed(response(assertion()))),  # the response signed instead of the assertion
        encoded(signed(response(signed(assertion())))),  # both
        good(roles=f"{SAML_ARN} , {ROLE_ARN}"),
        good(recipient="https://us-east-1.signin.aws.amazon.com/saml"),
        good(number=1),
        encoded("\n <?xml version='1.0'?>" + response(signed(assertion())) + "\n"),
    ],
    ids=["response", "both", "order", "regional", "second-certificate", "declaration"],
)
def test_other_good_responses(text: str) -> None:
    assert verify(text, read_metadata(metadata(0, 1)), NOW).roles == ((ROLE_ARN, SAML_ARN),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (encoded(response(assertion())), "signature"),
        (good(number=1), "signature"),  # signed by somebody else, whose certificate is in the signature
        (good(issuer="https://evil.example.com"), "issuer"),
        (good(audience="urn:someone:else"), "audience"),
        (good(recipient="https://evil.example.com/saml"), "recipient"),
        (good(recipient="https://signin.aws.amazon.com.evil.com/saml"), "recipient"),
        (good(recipient="https://evil/signin.aws.amazon.com/saml"), "recipient"),
        (good(method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"), "bearer"),
        (good(attributes={"SessionDuration": "899"}), "SessionDuration"),
        (good(attributes={"SessionDuration": "x"}), "SessionDuration"),
        (good(NOW + timedelta(minutes=4)), "future"),
        (encoded(response(signed(assertion()), status="Responder")), "success"),
        (encoded(signed(assertion())), "no SAML response"),
        (encoded(response("")), "exactly one assertion"),
        (encoded(response(signed(assertion()) + signed(assertion(id="_a2")))), "exactly one assertion"),
        (encoded('<!DOCTYPE x [<!ENTITY a "b">]>' + response(signed(assertion()))), "document type"),
        (encoded("<a><b></a>"), "well-formed"),
        ("%%%", "base64"),
        ("", "well-formed"),
    ],
)
def test_refused_responses(text: str, message: str) -> None:
    with pytest.raises(AssertionFault, match=message):
        verify(text, PROVIDER, NOW)


@pytest.mark.parametrize(
    "text",
    [good(NOW - timedelta(minutes=6)), good(until=NOW), good(issued=NOW - timedelta(seconds=301))],
)
def test_expired_responses_say_so(text: str) -> None:
    with pytest.raises(AssertionExpired):
        verify(text, PROVIDER, NOW)


def test_a_response_is_good_for_five_minutes() -> None:
    late = NOW + timedelta(minutes=5) - timedelta(seconds=1)
    assert verify(good(), PROVIDER, late)


# ---------------------------------------------------------------------- signature wrapping
GENUINE = signed(assertion())
EVIL = assertion(id="_evil", subject="root@example.com", attributes={"RoleSessionName": "root"})


def _signature(xml: str) -> str:
    start, end = xml.index("<ds:Signature"), xml.index("</ds:Signature>") + len("</ds:Signature>")
    return xml[start:end]


WRAPPINGS: list[tuple[str, Callable[[], str]]] = [
    ("evil first, genuine after", lambda: response(EVIL + GENUINE)),
    ("genuine first, evil after", lambda: response(GENUINE + EVIL)),
    ("genuine inside the evil one", lambda: response(EVIL.replace("<saml:Subject>", GENUINE + "<saml:Subject>"))),
    ("evil with the genuine signature", lambda: response(EVIL.replace("<saml:Subject>", _signature(GENUINE) + "<saml:Subject>"))),
    ("evil of the genuine id", lambda: response(EVIL.replace("_evil", "_a1").replace(
        "<saml:Subject>", _signature(GENUINE) + "<saml:Subject>"))),
    ("genuine in an object of the signature", lambda: response(EVIL.replace("<saml:Subject>", _signature(GENUINE).replace(
        "</ds:Signature>", f"<ds:Object>{GENUINE}</ds:Object></ds:Signature>") + "<saml:Subject>"))),
    ("genuine in extensions", lambda: response(f"<samlp:Extensions>{GENUINE}</samlp:Extensions>" + EVIL)),
    ("genuine only, in extensions", lambda: response(f"<samlp:Extensions>{GENUINE}</samlp:Extensions>")),
    ("another response inside", lambda: response(response(GENUINE, id="_r2"))),
    ("subject changed", lambda: response(GENUINE.replace("ann@example.com", "root@example.com"))),
    ("role changed", lambda: response(GENUINE.replace(":role/app", ":role/admin"))),
    ("attribute added", lambda: response(GENUINE.replace("<saml:AuthnStatement", "<saml:AttributeStatement/><saml:AuthnStatement"))),
    ("reference of everything", lambda: response(GENUINE.replace('URI="#_a1"', 'URI=""'))),
]  # fmt: skip


@pytest.mark.parametrize("made", [made for _, made in WRAPPINGS], ids=[name for name, _ in WRAPPINGS])
def test_wrapping_attacks_miss(made: Callable[[], str]) -> None:
    with pytest.raises(AssertionFault):
        verify(encoded(made()), PROVIDER, NOW)


def test_the_signature_of_a_response_does_not_vouch_for_an_outer_one() -> None:
    inner = signed(response(assertion()))
    evil = response(EVIL).replace("<samlp:Status>", f"{_signature(inner)}<samlp:Status>", 1)
    with pytest.raises(AssertionFault):
        verify(encoded(evil), PROVIDER, NOW)


def test_a_comment_does_not_cut_a_name() -> None:
    """CVE-2017-11427 and its like: canonical XML leaves comments out, so text must be read across them."""
    real = signed(assertion(subject="ann@example.com.evil.com"))
    cut = real.replace("ann@example.com.evil.com", "ann@example.com<!-- -->.evil.com")
    assert verify(encoded(response(cut)), PROVIDER, NOW).subject == "ann@example.com.evil.com"


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "rsa-sha1"])
def test_weak_signature_methods_are_refused(algorithm: str) -> None:
    """An HMAC with the public certificate as its secret, SHA-1: refused before anything is computed."""
    name = {"hmac-sha256": "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
            "rsa-sha1": "http://www.w3.org/2000/09/xmldsig#rsa-sha1"}[algorithm]  # fmt: skip
    text = GENUINE.replace("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", name)
    assert text != GENUINE
    with pytest.raises(AssertionFault):
        verify(encoded(response(text)), PROVIDER, NOW)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 5000), byte=st.integers(1, 255))
def test_no_changed_byte_brings_another_identity(at: int, byte: int) -> None:
    raw = bytearray(base64.b64decode(good()))
    raw[at % len(raw)] ^= byte
    try:
        found = verify(base64.b64encode(raw).decode(), PROVIDER, NOW)
    except AssertionFault:
        return
    assert found == verify(good(), PROVIDER, NOW)


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_anything_else_is_a_fault_and_no_accident(text: str) -> None:
    with pytest.raises(AssertionFault):
        verify(text, PROVIDER, NOW)


# ---------------------------------------------------------------------- metadata
@pytest.mark.parametrize(
    "text",
    ["", "<a/>", metadata().replace("entityID", "id"), metadata().replace("signing", "encryption"),
     metadata().replace("MII", "!!!"), "<!DOCTYPE a>" + metadata()],
)  # fmt: skip
def test_metadata_that_is_none(text: str) -> None:
    with pytest.raises(AssertionFault):
        read_metadata(text)


def test_the_name_qualifier_is_awss() -> None:
    """AWS STS API Reference: BASE64(SHA1("https://example.com/saml" + "123456789012" + "/MySAMLIdP"))."""
    assert name_qualifier("https://example.com/saml", "123456789012", "MySAMLIdP") == "1uAJanUnBc2XeUkHURMht+xam2c="

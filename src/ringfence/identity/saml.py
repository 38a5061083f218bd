"""SAML 2.0 authentication responses and provider metadata (IAM User Guide: "SAML 2.0 federation", "Configure SAML
assertions for the authentication response"; SAML Core sections 2 and 3, Bindings section 3.5; IAM-12).

signxml verifies signatures. What is read afterwards is only the element it gives back as signed, and the document must
hold exactly one assertion, so that a signature cannot vouch for something else (wrapping attacks). The parser resolves
no entity, loads nothing and refuses a document type.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from lxml import etree
from signxml.algorithms import SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from ringfence.model.row import Tags

ASSERTION, PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:assertion}", "{urn:oasis:names:tc:SAML:2.0:protocol}"
METADATA, SIGNATURE = "{urn:oasis:names:tc:SAML:2.0:metadata}", "{http://www.w3.org/2000/09/xmldsig#}"
AUDIENCE = "urn:amazon:webservices"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_FORMAT = re.compile(r"^urn:oasis:names:tc:SAML:[0-9.]+:nameid-format:")
_ATTRIBUTE = "https://aws.amazon.com/SAML/Attributes/"
#: the sign-in endpoints of AWS, worldwide and of a Region
_RECIPIENT = re.compile(r"https://([a-z0-9-]+\.)?signin\.aws\.amazon\.com/(platform/)?saml")
_FRESH = timedelta(minutes=5)  # AWS: a response is used within five minutes of its issue
_SKEW = timedelta(minutes=3)
#: asymmetric and not of SHA-1: an HMAC would make the public certificate the secret
_METHODS = frozenset(m for m in SignatureMethod if m.name.startswith(("RSA_SHA", "ECDSA_SHA")) and m.name[-1] != "1")


class AssertionFault(Exception):
    """A response that is refused; the message says why."""


class AssertionExpired(AssertionFault):
    """A genuine response whose time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a provider's metadata says: who it is, and the certificates it signs with."""

    issuer: str
    certificates: tuple[x509.Certificate, ...]
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a verified response says. `roles`: (role ARN, provider ARN) pairs."""

    issuer: str
    subject: str
    subject_type: str
    recipient: str
    roles: tuple[tuple[str, str], ...]
    session_name: str
    session_seconds: int | None
    not_on_or_after: datetime | None  # of the provider's own session
    source_identity: str | None
    tags: Tags
    transitive: tuple[str, ...]


# ---------------------------------------------------------------------- reading XML
def _parsed(raw: bytes) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(raw.strip(), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise AssertionFault("Invalid base64 SAMLResponse or not well-formed XML") from None
    if root.getroottree().docinfo.doctype:
        raise AssertionFault("A document type is not allowed")
    return root


def _text(element: Any) -> str:
    return "".join(element.itertext()).strip()


def _only(parent: Any, tag: str, what: str) -> Any:
    found = parent.findall(tag)
    if len(found) != 1:
        raise AssertionFault(f"The response must have exactly one {what}")
    return found[0]


def _moment(text: str | None, what: str) -> datetime:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        raise AssertionFault(f"{what} is not a date") from None
    if found.tzinfo is None:
        raise AssertionFault(f"{what} has no time zone")
    return found.astimezone(UTC)


def read_metadata(text: str) -> Metadata:
    """The entity of a metadata document and its signing certificates. AssertionFault."""
    root = _parsed(text.encode())
    if root.tag != METADATA + "EntityDescriptor" or not root.get("entityID"):
        raise AssertionFault("The metadata must be one EntityDescriptor with an entityID")
    found = []
    for key in root.findall(f"{METADATA}IDPSSODescriptor/{METADATA}KeyDescriptor"):
        if key.get("use", "signing") == "signing":
            found += [_certificate(_text(node)) for node in key.iter(SIGNATURE + "X509Certificate")]
    if not found:
        raise AssertionFault("The metadata has no signing certificate")
    until = root.get("validUntil")
    end = _moment(until, "validUntil") if until is not None else None
    return Metadata(issuer=root.get("entityID"), certificates=tuple(found), valid_until=end)


def _certificate(text: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise AssertionFault("The metadata has a certificate that cannot be read") from None


# ---------------------------------------------------------------------- verifying
def verify(encoded: str, metadata: Metadata, now: datetime) -> Assertion:
    """The assertion of a base64 response that the provider signed, for AWS, for now. AssertionFault, AssertionExpired."""
    try:
        raw = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise AssertionFault("The response is not base64") from None
    root = _parsed(raw)
    if root.tag != PROTOCOL + "Response":
        raise AssertionFault("The document is no SAML response")
    if len(list(root.iter(ASSERTION + "Assertion"))) != 1 or list(root.iter(ASSERTION + "EncryptedAssertion")):
        raise AssertionFault("The response must have exactly one assertion, not encrypted")
    _check_status(root)
    assertion = _signed(raw, root, metadata, now)
    return _read(assertion, metadata, now)


def _check_status(root: Any) -> None:
    code = root.find(f"{PROTOCOL}Status/{PROTOCOL}StatusCode")
    if code is None or code.get("Value") != SUCCESS:
        raise AssertionFault("The response does not report success")


def _signed(raw: bytes, root: Any, metadata: Metadata, now: datetime) -> Any:
    """The assertion as signxml gives it back: what the signature covers, and nothing else of the document."""
    whole = root.find(SIGNATURE + "Signature") is not None
    location = "./" if whole else f"./{ASSERTION}Assertion/"
    wanted = PROTOCOL + "Response" if whole else ASSERTION + "Assertion"
    config = SignatureConfiguration(location=location, signature_methods=_METHODS, verification_time=now)
    for certificate in metadata.certificates:
        try:
            found: Any = XMLVerifier().verify(raw.strip(), x509_cert=certificate, expect_config=config)
        except (
            SignXMLException,
            etree.LxmlError,
            ValueError,
            TypeError,
            AttributeError,
            LookupError,
            UnsupportedAlgorithm,
        ):
            continue  # another certificate of the provider may fit; what signxml trips over is no signature of ours
        signed = found.signed_xml
        if signed is None or signed.tag != wanted:
            break
        return _only(signed, ASSERTION + "Assertion", "assertion") if whole else signed
    raise AssertionFault("Response signature invalid")


def _read(assertion: Any, metadata: Metadata, now: datetime) -> Assertion:
    issuer = _text(_only(assertion, ASSERTION + "Issuer", "Issuer"))
    if issuer != metadata.issuer:
        raise AssertionFault("The issuer of the response is not the provider")
    issued = _moment(assertion.get("IssueInstant"), "IssueInstant")
    if issued > now + _SKEW:
        raise AssertionFault("The response is issued in the future")
    if now - issued > _FRESH:
        raise AssertionExpired("Response has expired")
    _check_conditions(assertion, now)
    subject = _only(assertion, ASSERTION + "Subject", "Subject")
    name = _only(subject, ASSERTION + "NameID", "NameID")
    attributes = _attributes(assertion)
    return Assertion(
        issuer=issuer,
        subject=_text(name),
        subject_type=_FORMAT.sub("", name.get("Format", "")),
        recipient=_recipient(subject, now),
        roles=_roles(attributes.get("Role", ())),
        session_name=_one(attributes, "RoleSessionName") or _missing("RoleSessionName"),
        session_seconds=_seconds(_one(attributes, "SessionDuration")),
        not_on_or_after=_session_end(assertion),
        source_identity=_one(attributes, "SourceIdentity"),
        tags=tuple((key[13:], _one(attributes, key) or "") for key in attributes if key.startswith("PrincipalTag:")),
        transitive=attributes.get("TransitiveTagKeys", ()),
    )


def _check_conditions(assertion: Any, now: datetime) -> None:
    conditions = _only(assertion, ASSERTION + "Conditions", "Conditions")
    before, after = conditions.get("NotBefore"), conditions.get("NotOnOrAfter")
    if before is not None and _moment(before, "NotBefore") > now + _SKEW:
        raise AssertionFault("The response is not valid yet")
    if after is not None and _moment(after, "NotOnOrAfter") <= now:
        raise AssertionExpired("Response has expired")
    for restriction in conditions.findall(ASSERTION + "AudienceRestriction"):
        audiences = [_text(node) for node in restriction.findall(ASSERTION + "Audience")]
        if not any(name == AUDIENCE or _RECIPIENT.fullmatch(name) for name in audiences):
            raise AssertionFault("The response is for another audience")


def _recipient(subject: Any, now: datetime) -> str:
    """AWS: exactly one confirmation, whose data name a sign-in endpoint of AWS and an end."""
    confirmation = _only(subject, ASSERTION + "SubjectConfirmation", "SubjectConfirmation")
    data = _only(confirmation, ASSERTION + "SubjectConfirmationData", "SubjectConfirmationData")
    if confirmation.get("Method") != BEARER:
        raise AssertionFault("The subject must be confirmed as bearer")
    if _moment(data.get("NotOnOrAfter"), "NotOnOrAfter") <= now:
        raise AssertionExpired("Response has expired")
    recipient = str(data.get("Recipient", ""))
    if not _RECIPIENT.fullmatch(recipient):
        raise AssertionFault("The recipient of the response is not AWS")
    return recipient


def _attributes(assertion: Any) -> dict[str, tuple[str, ...]]:
    """AWS's attributes by the last part of their names."""
    out: dict[str, tuple[str, ...]] = {}
    for attribute in assertion.iterfind(f"{ASSERTION}AttributeStatement/{ASSERTION}Attribute"):
        name = str(attribute.get("Name", ""))
        if name.startswith(_ATTRIBUTE):
            values = tuple(_text(node) for node in attribute.findall(ASSERTION + "AttributeValue"))
            key = name[len(_ATTRIBUTE) :]
            out[key] = out.get(key, ()) + values
    return out


def _one(attributes: dict[str, tuple[str, ...]], name: str) -> str | None:
    values = attributes.get(name, ())
    if len(values) > 1:
        raise AssertionFault(f"The attribute {name} has more than one value")
    return values[0] if values else None


def _missing(name: str) -> str:
    raise AssertionFault(f"{name} is required in AuthnResponse")


def _roles(values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of a role's and a provider's ARN, in either order."""
    pairs = []
    for value in values:
        parts = [part.strip() for part in value.split(",")]
        role = [part for part in parts if ":role/" in part]
        provider = [part for part in parts if ":saml-provider/" in part]
        if len(parts) == 2 and len(role) == len(provider) == 1:
            pairs.append((role[0], provider[0]))
    return tuple(pairs)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{3,5}", text) or not 900 <= int(text) <= 43200:
        raise AssertionFault("SessionDuration must be between 900 and 43200 seconds")
    return int(text)


def _session_end(assertion: Any) -> datetime | None:
    ends = [s.get("SessionNotOnOrAfter") for s in assertion.iterfind(ASSERTION + "AuthnStatement")]
    moments = [_moment(end, "SessionNotOnOrAfter") for end in ends if end is not None]
    return min(moments, default=None)


def name_qualifier(issuer: str, account_id: str, provider_name: str) -> str:
    """AWS STS API Reference, AssumeRoleWithSAML: NameQualifier. SHA-1 names here, it protects nothing."""
    digest = hashlib.sha1(f"{issuer}{account_id}/{provider_name}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()

"""Identity providers for tests: an OpenID Connect issuer and a SAML provider with keys of their own."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import XMLSigner, methods

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ACCOUNT, CLIENT, ISSUER = "111122223333", "sts.amazonaws.com", "https://token.example.com/ci"
ENTITY = "https://idp.example.com/saml"
SAML_ARN, ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:saml-provider/corp", f"arn:aws:iam::{ACCOUNT}:role/app"
RECIPIENT = "https://signin.aws.amazon.com/saml"


@cache
def _rsa(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    return _rsa(number)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwks(*numbers: int, with_ec: bool = True) -> str:
    keys = [
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(n).public_key())) | {"kid": f"rsa{n}"} for n in numbers
    ]
    if with_ec:
        keys.append(json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key().public_key())) | {"kid": "ec"})
    return json.dumps({"keys": keys})


def claims(now: datetime = NOW, **changed: Any) -> dict[str, Any]:
    moment = int(now.timestamp())
    out = {"iss": ISSUER, "sub": "repo:acme/site", "aud": CLIENT, "iat": moment, "exp": moment + 600, "nbf": moment}
    return {name: value for name, value in (out | changed).items() if value is not None}


def token(
    kid: str | None = "rsa0", algorithm: str = "RS256", key: Any = None, now: datetime = NOW, **changed: Any
) -> str:
    signing = key if key is not None else ec_key() if algorithm.startswith("ES") else rsa_key()
    return jwt.encode(claims(now, **changed), signing, algorithm, headers={"kid": kid} if kid else None)


# ---------------------------------------------------------------------- SAML
@cache
def certificate(number: int = 0) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.example.com")])
    return (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(rsa_key(number).public_key())
        .serial_number(1).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2040, 1, 1))
        .sign(rsa_key(number), hashes.SHA256())
    )  # fmt: skip


def metadata(*numbers: int) -> str:
    keys = "".join(
        '<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>{base64.b64encode(certificate(n).public_bytes(serialization.Encoding.DER)).decode()}"
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for n in numbers or (0,)
    )
    return (
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{ENTITY}"><md:IDPSSODescriptor '
        f'protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{keys}</md:IDPSSODescriptor></md:EntityDescriptor>'
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _attribute(name: str, *values: str) -> str:
    inner = "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in values)
    return f'<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/{name}">{inner}</saml:Attribute>'


def assertion(
    now: datetime = NOW, *, id: str = "_a1", issuer: str = ENTITY, subject: str = "ann@example.com",
    recipient: str = RECIPIENT, audience: str = "urn:amazon:webservices", roles: str = f"{ROLE_ARN},{SAML_ARN}",
    attributes: dict[str, str] | None = None, issued: datetime | None = None, until: datetime | None = None,
    method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer",
) -> str:  # fmt: skip
    end = until or now + timedelta(minutes=5)
    extra = {"RoleSessionName": "ann", **(attributes or {})}
    return (
        f'<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" '
        f'IssueInstant="{_iso(issued or now)}"><saml:Issuer>{issuer}</saml:Issuer>'
        '<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">'
        f'{subject}</saml:NameID><saml:SubjectConfirmation Method="{method}"><saml:SubjectConfirmationData '
        f'NotOnOrAfter="{_iso(end)}" Recipient="{recipient}"/></saml:SubjectConfirmation></saml:Subject>'
        f'<saml:Conditions NotBefore="{_iso(now)}" NotOnOrAfter="{_iso(end)}"><saml:AudienceRestriction>'
        f"<saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        f"<saml:AttributeStatement>{_attribute('Role', roles)}"
        f"{''.join(_attribute(name, value) for name, value in extra.items())}</saml:AttributeStatement>"
        f'<saml:AuthnStatement AuthnInstant="{_iso(now)}"/></saml:Assertion>'
    )


def response(inner: str, status: str = "Success", id: str = "_r1") -> str:
    return (
        f'<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="{id}" Version="2.0" '
        f'IssueInstant="{_iso(NOW)}"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/>'
        f"</samlp:Status>{inner}</samlp:Response>"
    )


def signed(xml: str, number: int = 0, **how: Any) -> str:
    """The element with an enveloped signature over itself."""
    root = etree.fromstring(xml)
    made = XMLSigner(method=methods.enveloped, **{"c14n_algorithm": "http://www.w3.org/2001/10/xml-exc-c14n#", **how}).sign(
        root, key=rsa_key(number), cert=[certificate(number)], reference_uri=root.get("ID"),
    )  # fmt: skip
    return etree.tostring(made).decode()


def encoded(xml: str) -> str:
    return base64.b64encode(xml.encode()).decode()


def good(now: datetime = NOW, number: int = 0, **how: Any) -> str:
    """A response with a signed assertion, base64."""
    return encoded(response(signed(assertion(now, **how), number)))

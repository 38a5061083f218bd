"""AWS Signature Version 4, the verifier's side (AWS General Reference: "Signing AWS API requests"; IAM-01..IAM-04).

Pure: values in, nothing or a `SignatureFault` out. Header and presigned-query forms. The payload hash is always
bound to the body, except for S3 over TLS with UNSIGNED-PAYLOAD, which S3 clients use; S3 also takes bodies signed chunk
by chunk (`chunked.py`).

INVARIANT: a header that decides what a request does (DECISIVE) counts only when it is signed.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from ringfence.identity import chunked

ALGORITHM = "AWS4-HMAC-SHA256"
WINDOW = timedelta(minutes=15)  # IAM-03
MAX_PRESIGNED_SECONDS = 604800
DECISIVE = ("x-amz-target", "x-amz-security-token")
_UNSIGNED = "UNSIGNED-PAYLOAD"
_CONTENT = "x-amz-content-sha256"
_NOBODY = "no secret"
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()


_WRONG = {
    s3: f"The request signature we calculated does not match the signature you provided. Check your {rest}"
    for s3, rest in (
        (True, "key and signing method."),
        (False, "AWS Secret Access Key and signing method. Consult the service documentation for details."),
    )
}


class Reason(enum.Enum):
    """Why a signature was refused."""

    MISSING = enum.auto()  # no signature at all
    INCOMPLETE = enum.auto()  # malformed, or a part is absent
    UNKNOWN_KEY = enum.auto()
    MISMATCH = enum.auto()
    TOKEN_EXPIRED = enum.auto()  # the session of temporary credentials is over
    EXPIRED = enum.auto()  # outside the clock window, or a presigned request past its time


class SignatureFault(Exception):
    """A refused signature: the reason, and a sentence for the client."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class Signed:
    """What is signed: the raw request. `query` is the raw query string; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None  # None: it is not there yet, so what depends on it is not looked at
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed signature with its credential scope."""

    access_key_id: str
    date: str  # YYYYMMDD of the scope
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str  # YYYYMMDDTHHMMSSZ
    presigned: bool
    expires: int = 0
    token: str | None = None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


# ---------------------------------------------------------------------- reading the signature
_TIMESTAMP, _HEX_64 = re.compile("[0-9]{8}T[0-9]{6}Z"), re.compile("[0-9a-f]{64}")
_PARTS = frozenset({"Credential", "SignedHeaders", "Signature"})


def read_signature(request: Signed) -> Signature:
    """The signature a request carries. SignatureFault MISSING, INCOMPLETE, or MISMATCH within its own parts."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return _from_header(request, authorization)
    if "X-Amz-Signature=" in request.query or "X-Amz-Credential=" in request.query:
        return _from_query(request)
    raise SignatureFault(Reason.MISSING, "Request is missing Authentication Token")


def _from_header(request: Signed, authorization: str) -> Signature:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete("Unsupported or missing signing algorithm in the Authorization header")
    given = [part.strip().partition("=") for part in rest.split(",")]
    parts = {name: value for name, _, value in given}
    for name in sorted(_PARTS):
        if not parts.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    if len(given) != len(_PARTS):  # a part given twice could mean one thing here and another elsewhere
        raise _incomplete("The Authorization header has more than Credential, SignedHeaders and Signature.")
    timestamp = request.headers.get("x-amz-date")
    if timestamp is None:
        raise _incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
    return _assemble(
        parts["Credential"], parts["SignedHeaders"], parts["Signature"], timestamp, presigned=False,
        token=request.headers.get("x-amz-security-token"),
    )  # fmt: skip


def _from_query(request: Signed) -> Signature:
    pairs = [(_text(name), _text(value)) for name, value in _pairs(request.query)]
    given = {name: value for name, value in pairs if name.startswith("X-Amz-")}
    if len(given) != sum(name.startswith("X-Amz-") for name, _ in pairs):
        raise _incomplete("An AWS query-string parameter is given more than once.")
    for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
                 "X-Amz-Signature"):  # fmt: skip
        if name not in given:
            raise _incomplete(f"AWS query-string parameters must include '{name}'.")
    if given["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete("Unsupported signing algorithm")
    expires = given["X-Amz-Expires"]
    if not re.fullmatch(r"[0-9]{1,6}", expires) or not 1 <= int(expires) <= MAX_PRESIGNED_SECONDS:
        raise _incomplete("X-Amz-Expires must be between 1 and 604800 seconds")
    return _assemble(
        given["X-Amz-Credential"], given["X-Amz-SignedHeaders"], given["X-Amz-Signature"], given["X-Amz-Date"],
        presigned=True, expires=int(expires), token=given.get("X-Amz-Security-Token"),
    )  # fmt: skip


def _assemble(
    credential: str, signed: str, signature: str, timestamp: str, *, presigned: bool, expires: int = 0,
    token: str | None = None,
) -> Signature:  # fmt: skip
    scope = credential.split("/")
    if len(scope) != 5 or scope[4] != "aws4_request" or not all(scope):
        raise _incomplete("Credential must have exactly 5 slash-delimited elements: keyid/date/region/service/term")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise _incomplete("The date must be in the form YYYYMMDDTHHMMSSZ")
    if not timestamp.startswith(scope[1] + "T"):
        raise SignatureFault(Reason.MISMATCH, "Date in Credential scope does not match that of the request")
    if not _HEX_64.fullmatch(signature):
        raise _incomplete("Signature must be 64 hexadecimal digits")
    names = tuple(signed.split(";"))
    if "host" not in names or list(names) != sorted(set(names)):
        raise _incomplete("SignedHeaders must be sorted and include 'host'")
    return Signature(scope[0], scope[1], scope[2], scope[3], names, signature, timestamp, presigned, expires, token)


def _incomplete(message: str) -> SignatureFault:
    return SignatureFault(Reason.INCOMPLETE, message)


# ---------------------------------------------------------------------- checking it
def verify(request: Signed, signature: Signature, secret_of: Callable[[str], str | None], now: datetime) -> None:
    """SignatureFault unless the request was signed with the key's secret, within the clock window.

    Without its body: unless what the head shows of that is true; where nothing in it stands for the body, that is the key.
    """
    _check_clock(signature, now)
    for name in DECISIVE:
        if name in request.headers and name not in signature.signed_headers:
            raise SignatureFault(Reason.MISMATCH, f"The header '{name}' must be signed.")
    if signature.service == "s3":  # AWS: every x-amz-* header decides something here
        for name in request.headers:
            if name.startswith("x-amz-") and name != _CONTENT and name not in signature.signed_headers:
                raise SignatureFault(Reason.MISMATCH, f"The header '{name}' must be signed.")
    secret = secret_of(signature.access_key_id)
    expected = sign(request, signature, secret or _NOBODY)  # also for an unknown key, so that it takes as long
    undecided = request.body is None and _payload_hash(request, signature) == ""
    if secret is None:
        raise SignatureFault(Reason.UNKNOWN_KEY, "The security token included in the request is invalid.")
    if not undecided and not hmac.compare_digest(expected, signature.signature):
        raise SignatureFault(Reason.MISMATCH, _WRONG[signature.service == "s3"])
    if request.body is not None:
        _check_chunks(request, request.body, signature, secret)


def _check_chunks(request: Signed, body: bytes, signature: Signature, secret: str) -> None:
    """The chunks of a body that is signed piece by piece (S3)."""
    kind = request.headers.get(_CONTENT, "")
    if signature.service != "s3" or kind not in chunked.KINDS:
        return
    try:
        if kind == chunked.UNSIGNED_TRAILER:
            chunked.read(body)
            return
        key = _signing_key(secret, signature.date, signature.region, signature.service)
        good = chunked.verify(
            body, kind, key, signature.timestamp, signature.scope, signature.signature
        )  # fmt: skip
    except chunked.ChunkFault as problem:
        raise _incomplete(f"The body is not aws-chunked: {problem}") from None
    if not good:
        raise SignatureFault(Reason.MISMATCH, "A chunk of the body does not match its signature.")


def _check_clock(signature: Signature, now: datetime) -> None:
    text = signature.timestamp
    try:
        day = int(text[:4]), int(text[4:6]), int(text[6:8])
        signed_at = datetime(*day, int(text[9:11]), int(text[11:13]), int(text[13:15]), tzinfo=UTC)
    except ValueError:
        raise _incomplete("The date of the request is not a date") from None
    lasting = timedelta(seconds=signature.expires) if signature.presigned else WINDOW
    if now - signed_at > lasting or signed_at - now > WINDOW:
        raise SignatureFault(Reason.EXPIRED, "Request has expired.")


def sign(request: Signed, signature: Signature, secret: str) -> str:
    """The signature the request ought to have, 64 hexadecimal digits."""
    canonical = "\n".join(
        (
            request.method.upper(),
            _canonical_path(request.path, signature.service),
            _canonical_query(request.query) if request.query else "",
            *(f"{name}:{_header(request, name)}" for name in signature.signed_headers),
            "",
            ";".join(signature.signed_headers),
            _payload_hash(request, signature),
        )
    )
    # the server reads header bytes as Latin-1; what cannot have come over the wire cannot match
    digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
    to_sign = f"{ALGORITHM}\n{signature.timestamp}\n{signature.scope}\n{digest}"
    key = _signing_key(secret, signature.date, signature.region, signature.service)
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _payload_hash(request: Signed, signature: Signature) -> str:
    given = request.headers.get(_CONTENT)
    s3 = signature.service in ("s3", "s3express")
    if s3 and request.secure and (signature.presigned or given == _UNSIGNED):
        return _UNSIGNED
    if s3 and (
        given in (chunked.SIGNED, chunked.SIGNED_TRAILER) or (request.secure and given == chunked.UNSIGNED_TRAILER)
    ):
        return given
    if request.body is None:
        return given or ""
    actual = hashlib.sha256(request.body).hexdigest() if request.body else _EMPTY_HASH
    if given is not None and given != actual:
        raise SignatureFault(Reason.MISMATCH, "The body does not match the hash in X-Amz-Content-SHA256.")
    return actual


def _header(request: Signed, name: str) -> str:
    value = request.headers.get(name)
    if value is None:
        raise SignatureFault(Reason.INCOMPLETE, f"The signed header '{name}' is not in the request.")
    return " ".join(value.split())


def _canonical_path(path: str, service: str) -> str:
    if service in ("s3", "s3express"):
        return path or "/"
    return quote(_normalised(path), safe="/~") if path not in ("", "/") else "/"


def _normalised(path: str) -> str:
    out: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if out:
                out.pop()
        elif part not in ("", "."):
            out.append(part)
    joined = "/" + "/".join(out)
    return joined + "/" if path.endswith("/") and out else joined


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = (item.partition("=") for item in query.split("&") if item)
    return [(name, value) for name, _, value in pairs]


def _text(raw: str) -> str:
    return unquote_to_bytes(raw).decode("utf-8", "replace")


def _canonical_query(query: str) -> str:
    encoded = []
    for name, value in _pairs(query):
        key = quote(unquote_to_bytes(name), safe="-_.~")
        if key != "X-Amz-Signature":
            encoded.append((key, quote(unquote_to_bytes(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))

"""Temporary credentials (IAM User Guide: "Temporary security credentials in IAM"; IAM-08).

Stateless: the session token is the sealed record of the session (`sealing.py`, purpose `session`): whose it is, what
limits it, until when, for which access key, and the secret of that key. Nothing is stored, so nothing has to be looked
up to sign in, except that the role or user must still be the one the session was made for.

What ends a session early: its role or user is deleted (a new one of the same name has another unique id), or the role's
`revoked_before` is later than the session. AWS: deactivating the access key that asked for a session does not end it.

INVARIANT: nothing in a token can be read or altered without the sealing key; `open_token` gives back what `seal_token` took.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass, replace

from ringfence.identity.credentials import Credential
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.sealing import Sealer, SealError
from ringfence.model.codec import decode, encode
from ringfence.model.kinds import ROLE, USER
from ringfence.model.row import Tags
from ringfence.model.world import World

PURPOSE = "session"
MAX_TOKEN = 32 << 10  # characters; a request's headers may have 64 KiB
_MAX_PLAIN = 256 << 10  # of an opened token: ours are far smaller
_CACHED = 1024  # opened tokens


class SessionFault(Exception):
    """A session token that is refused: foreign, for another key, or of an identity that is gone."""


class SessionExpired(SessionFault):
    """A genuine token whose time is over."""


@dataclass(frozen=True, slots=True, repr=False)
class _Record:
    """What a token holds."""

    secret: str
    principal: Principal


def seal_token(sealer: Sealer, credential: Credential, *, at_least: int = 0) -> str:
    """The session token of temporary credentials, padded to `at_least` so many bytes."""
    assert credential.principal.session is not None
    packed = zlib.compress(encode(_Record(credential.secret, credential.principal)).encode(), 9)
    token = _encoded(sealer, packed)
    if len(token) < at_least:  # what follows the end of the compressed record is not read
        token = _encoded(sealer, packed.ljust(len(packed) + (at_least - len(token) + 3) // 4 * 3, b"\0"))
    return token


def _encoded(sealer: Sealer, packed: bytes) -> str:
    return base64.b64encode(sealer.seal(packed, PURPOSE)).decode()


def open_token(sealer: Sealer, token: str) -> Credential:
    """The credentials a token was made for, whatever the time. SessionFault."""
    if len(token) > MAX_TOKEN:
        raise SessionFault("the token is too long")
    try:
        packed = sealer.open(base64.b64decode(token, validate=True), PURPOSE)
    except (binascii.Error, ValueError, SealError):
        raise SessionFault("not a token of this installation") from None
    try:
        record = decode(_Record, zlib.decompressobj().decompress(packed, _MAX_PLAIN).decode())
    except (zlib.error, ValueError, TypeError, KeyError):  # sealed by another version of this program
        raise SessionFault("a token of another version") from None
    return Credential(record.secret, record.principal)


def current(principal: Principal, world: World) -> Principal:
    """The session's principal as of now: tags of its role or user as they are, the session's laid over them.

    SessionFault when the role or user is gone; SessionExpired when its sessions of that time are revoked.
    """
    session = principal.session
    assert session is not None
    if session.issuer_id is None or session.issuer_id == principal.account_id:  # the root user's
        return replace(principal, tags=session.tags)
    if principal.kind is PrincipalKind.ROLE:
        role = world.find(ROLE, session.issuer_id)
        if role is None:
            raise SessionFault("the role is gone")
        if role.revoked_before is not None and session.issued_at < role.revoked_before:
            raise SessionExpired("the sessions of the role are revoked")
        return replace(principal, tags=overlaid(role.tags, session.tags))
    user = world.find(USER, session.issuer_id)
    if user is None:
        raise SessionFault("the user is gone")
    return replace(principal, tags=overlaid(user.tags, session.tags))


class Sessions:
    """Opens session tokens; what a token says never changes, so it is opened once."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._opened: dict[str, Credential] = {}

    def find(self, world: World, now: int, access_key_id: str, token: str) -> Credential:
        """The credentials of a request's token and access key, as of now. SessionFault, SessionExpired."""
        found = self._opened.get(token) or self._open(token)
        session = found.principal.session
        assert session is not None
        if found.access_key_id != access_key_id:
            raise SessionFault("the token belongs to another access key")
        if session.expires_at <= now:
            raise SessionExpired("the token has expired")
        return Credential(found.secret, current(found.principal, world))

    def _open(self, token: str) -> Credential:
        found = open_token(self._sealer, token)
        if len(self._opened) >= _CACHED:
            self._opened.clear()
        self._opened[token] = found
        return found


def overlaid(below: Tags, above: Tags) -> Tags:
    """Tags of a session over those of its role: a session tag replaces one whose key differs at most in letter case."""
    taken = {key.lower() for key, _ in above}
    return (*(tag for tag in below if tag[0].lower() not in taken), *above)


# ---------------------------------------------------------------------- what a session may not call at all
#: IAM User Guide, "Compare AWS STS credentials", for GetSessionToken and GetFederationToken
_OF_SESSION_TOKENS = frozenset({"AssumeRole", "GetCallerIdentity"})
_OF_FEDERATED = frozenset({"GetCallerIdentity"})


class NotForSessions(Exception):
    """The kind of session cannot make this call, whatever policies say. `iam`: AWS answers as to an invalid token."""

    def __init__(self, message: str, *, iam: bool = False) -> None:
        super().__init__(message)
        self.iam = iam


def check_call(principal: Principal, service: str, action: str) -> None:
    """NotForSessions when sessions of GetSessionToken or GetFederationToken cannot make the call."""
    session = principal.session
    if session is None or principal.kind is PrincipalKind.ROLE:
        return
    federated = principal.kind is PrincipalKind.FEDERATED
    if service == "iam" and (federated or session.mfa_at is None):
        raise NotForSessions("The security token included in the request is invalid", iam=True)
    if service == "sts" and action not in (_OF_FEDERATED if federated else _OF_SESSION_TOKENS):
        raise NotForSessions(f"Cannot call {action} with {'federation' if federated else 'session'} credentials")

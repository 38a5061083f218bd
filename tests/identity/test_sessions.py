"""Session tokens (IAM-08): what they hold comes back and nothing else opens; when they end."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.identity.credentials import Credential
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.sealing import Sealer, new_key
from ringfence.identity.sessions import (
    NotForSessions,
    SessionExpired,
    SessionFault,
    Sessions,
    check_call,
    open_token,
    overlaid,
    seal_token,
)
from ringfence.model.kinds import ROLE, USER
from ringfence.model.nouns.identity import Role, User
from ringfence.model.world import World, delete, put

ACCOUNT, KEY = "111122223333", "ASIAEXAMPLE"
ROLE_ROW = Role(id="AROA1", owner_id=ACCOUNT, region="aws-global", name="app", created=0, trust="{}",
                tags=(("Team", "a"), ("env", "dev")))  # fmt: skip
USER_ROW = User(id="AIDA1", owner_id=ACCOUNT, region="aws-global", name="ann", created=0, tags=(("team", "b"),))
SEALER = Sealer([new_key()])


def session(**facts: object) -> Session:
    return Session(**{"name": "s", "issued_at": 1000, "expires_at": 2000, "issuer_id": "AROA1", **facts})  # type: ignore[arg-type]


def principal(kind: PrincipalKind = PrincipalKind.ROLE, **facts: object) -> Principal:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/s"
    return Principal(account_id=ACCOUNT, arn=arn, user_id="AROA1:s", access_key_id=KEY, kind=kind, name="app",
                     session=session(**facts))  # fmt: skip


def token_of(who: Principal) -> str:
    return seal_token(SEALER, Credential("secret", who))


def world(*rows: Role | User) -> World:
    out = World()
    for row in rows:
        out = out.apply(put(ROLE, row) if isinstance(row, Role) else put(USER, row))
    return out


texts = st.text(st.characters(codec="utf-8"), max_size=40)
tags = st.lists(st.tuples(texts, texts), max_size=4).map(tuple)


@given(
    kind=st.sampled_from(PrincipalKind), name=texts, policies=st.lists(texts, max_size=2).map(tuple), tags=tags,
    mfa=st.none() | st.integers(0, 1 << 40), source=st.none() | texts, keys=tags,
)  # fmt: skip
def test_a_token_gives_back_what_it_was_made_for(kind, name, policies, tags, mfa, source, keys) -> None:  # type: ignore[no-untyped-def]
    who = principal(kind, name=name, policies=policies, tags=tags, mfa_at=mfa, source_identity=source, keys=keys)
    found = open_token(SEALER, token_of(who))
    assert (found.principal, found.secret) == (who, "secret")


@settings(max_examples=200)
@given(at=st.integers(0, 10_000), byte=st.integers(1, 255))
def test_no_altered_token_opens(at: int, byte: int) -> None:
    raw = bytearray(base64.b64decode(token_of(principal())))
    raw[at % len(raw)] ^= byte
    with pytest.raises(SessionFault):
        open_token(SEALER, base64.b64encode(raw).decode())


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SessionFault):
        open_token(SEALER, text)


def test_a_token_of_another_installation_or_purpose_does_not_open() -> None:
    foreign = seal_token(Sealer([new_key()]), Credential("secret", principal()))
    other = base64.b64encode(SEALER.seal(b"{}", "access-key/AKIA")).decode()
    for token in (foreign, other):
        with pytest.raises(SessionFault):
            open_token(SEALER, token)


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 1002, 1003, 4096])
def test_padding_reaches_the_size_asked_for_and_changes_nothing(size: int) -> None:
    credential = Credential("secret", principal())
    token = seal_token(SEALER, credential, at_least=size)
    assert size <= len(token) < max(size, len(token_of(principal()))) + 8
    assert open_token(SEALER, token) == credential


# ---------------------------------------------------------------------- as of now
def test_tags_are_the_roles_of_now_with_the_sessions_over_them() -> None:
    token = token_of(principal(tags=(("team", "x"),)))
    found = Sessions(SEALER).find(world(ROLE_ROW), 1500, KEY, token)
    assert found.principal.tags == (("env", "dev"), ("team", "x"))
    changed = replace(ROLE_ROW, tags=(("env", "prod"),))
    assert Sessions(SEALER).find(world(changed), 1500, KEY, token).principal.tags == (("env", "prod"), ("team", "x"))
    assert overlaid((("A", "1"), ("b", "2")), (("a", "3"),)) == (("b", "2"), ("a", "3"))


def test_a_session_ends_with_its_time_its_role_or_its_revocation() -> None:
    sessions, token = Sessions(SEALER), token_of(principal())
    assert sessions.find(world(ROLE_ROW), 1999, KEY, token)
    with pytest.raises(SessionExpired):
        sessions.find(world(ROLE_ROW), 2000, KEY, token)
    with pytest.raises(SessionFault, match="another access key"):
        sessions.find(world(ROLE_ROW), 1500, "ASIAOTHER", token)
    with pytest.raises(SessionExpired):
        sessions.find(world(replace(ROLE_ROW, revoked_before=1000.5)), 1500, KEY, token)
    assert sessions.find(world(replace(ROLE_ROW, revoked_before=1000.0)), 1500, KEY, token)
    gone = world(ROLE_ROW).apply(delete(ROLE, "AROA1"))
    again = gone.apply(put(ROLE, replace(ROLE_ROW, id="AROA2")))
    for now in (gone, again):
        with pytest.raises(SessionFault, match="role is gone"):
            sessions.find(now, 1500, KEY, token)


@pytest.mark.parametrize("kind", [PrincipalKind.USER, PrincipalKind.FEDERATED])
def test_sessions_of_users_end_with_the_user(kind: PrincipalKind) -> None:
    token = token_of(principal(kind, issuer_id="AIDA1"))
    found = Sessions(SEALER).find(world(USER_ROW), 1500, KEY, token)
    assert found.principal.tags == (("team", "b"),)
    with pytest.raises(SessionFault, match="user is gone"):
        Sessions(SEALER).find(world(), 1500, KEY, token)


def test_sessions_of_the_root_user_need_no_row() -> None:
    token = token_of(principal(PrincipalKind.ROOT, issuer_id=ACCOUNT))
    assert Sessions(SEALER).find(World(), 1500, KEY, token).principal.is_root


# ---------------------------------------------------------------------- what they may not call
@pytest.mark.parametrize(
    ("kind", "mfa", "service", "action", "refused"),
    [
        (PrincipalKind.ROLE, None, "iam", "ListUsers", False),
        (PrincipalKind.ROLE, None, "sts", "AssumeRole", False),
        (PrincipalKind.USER, None, "iam", "ListUsers", True),
        (PrincipalKind.USER, 5, "iam", "ListUsers", False),
        (PrincipalKind.USER, 5, "sts", "AssumeRole", False),
        (PrincipalKind.USER, 5, "sts", "GetCallerIdentity", False),
        (PrincipalKind.USER, 5, "sts", "GetSessionToken", True),
        (PrincipalKind.USER, None, "ec2", "DescribeVpcs", False),
        (PrincipalKind.FEDERATED, None, "iam", "ListUsers", True),
        (PrincipalKind.FEDERATED, None, "sts", "AssumeRole", True),
        (PrincipalKind.FEDERATED, None, "sts", "GetCallerIdentity", False),
        (PrincipalKind.FEDERATED, None, "ec2", "DescribeVpcs", False),
    ],
)
def test_what_a_kind_of_session_cannot_call(
    kind: PrincipalKind, mfa: int | None, service: str, action: str, refused: bool
) -> None:
    """IAM User Guide, "Compare AWS STS credentials"."""
    if refused:
        with pytest.raises(NotForSessions):
            check_call(principal(kind, mfa_at=mfa), service, action)
    else:
        check_call(principal(kind, mfa_at=mfa), service, action)
    check_call(replace(principal(kind), session=None), service, action)

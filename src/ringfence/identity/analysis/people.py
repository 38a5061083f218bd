"""The principals that resource policies tell apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ringfence.identity.analysis import candidates as texts
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Context

#: condition keys that say who asks: they go with the principal
KEYS = ("aws:principalarn", "aws:principalaccount")
#: what an ARN of a principal looks like in aws:PrincipalArn
SHAPES = tuple(texts.wild(f"arn:aws:iam::????????????:{kind}") for kind in ("user/?*", "role/?*", "root"))
ANYBODY = Principal(account_id="", arn="", user_id="", kind=PrincipalKind.ANONYMOUS)
SOMEBODY = Principal(
    account_id="000000000000", arn="arn:aws:iam::000000000000:user/somebody", user_id="AIDA", kind=PrincipalKind.USER,
    name="somebody",
)  # fmt: skip
_INSIDE = (PrincipalKind.ROOT, PrincipalKind.USER, PrincipalKind.ROLE, PrincipalKind.FEDERATED)
_ARN = re.compile(r"arn:[^:]*:(iam|sts)::([^:]{12}):(root|user/.+|role/.+|assumed-role/.+/.+|federated-user/.+)")


def _user(account: str, name: str) -> Principal:
    return Principal(
        account_id=account,
        arn=f"arn:aws:iam::{account}:user/{name}",
        user_id="AIDA",
        kind=PrincipalKind.USER,
        name=name,
    )


def _session(account: str, role: str, name: str) -> Principal:
    short = role.rsplit("/", 1)[-1]
    session = Session(name=name, issued_at=0, expires_at=1, issuer_arn=f"arn:aws:iam::{account}:role/{role}")
    return Principal(
        account_id=account, arn=f"arn:aws:sts::{account}:assumed-role/{short}/{name}", user_id="AROA:" + name,
        kind=PrincipalKind.ROLE, name=short, session=session,
    )  # fmt: skip


def _of_arn(arn: str) -> Principal | None:
    found = _ARN.fullmatch(arn)
    if found is None:
        return None
    _, account, rest = found.groups()
    kind, _, name = rest.partition("/")
    if kind == "root":
        return Principal(account_id=account, arn=arn, user_id=account)
    if kind == "user":
        return _user(account, name)
    if kind == "role":
        return _session(account, name, "session")
    if kind == "assumed-role":
        return _session(account, *name.rsplit("/", 1))
    session = Session(name=name, issued_at=0, expires_at=1, issuer_arn=f"arn:aws:iam::{account}:user/{name}")
    return Principal(
        account_id=account,
        arn=arn,
        user_id=account + ":" + name,
        kind=PrincipalKind.FEDERATED,
        name=name,
        session=session,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def elements(statement: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """(kind, value) of each principal that a statement lists."""
    element = statement.get("NotPrincipal", statement.get("Principal", {}))
    if isinstance(element, dict):
        for kind, values in element.items():
            yield from ((kind, value) for value in _list(values))


def candidates(statements: Sequence[dict[str, Any]], arns: Sequence[str]) -> list[Principal]:
    """Who is named, somebody else of every account that is, somebody of none, and nobody; and owners of these ARNs."""
    named = [pair for statement in statements for pair in elements(statement)]
    accounts = {v for k, v in named if k == "AWS" and re.fullmatch(r"\d{12}", v)}
    found: dict[tuple[str, str], Principal] = {("", ""): ANYBODY}

    def add(who: Principal | None) -> None:
        if who is not None:
            found.setdefault((who.arn, who.session.issuer_arn or "" if who.session else ""), who)

    for kind, value in named:
        if kind == "AWS":
            made = _of_arn(value)
            accounts |= {made.account_id} if made is not None else set()
            add(made)
        elif kind == "Service":
            add(Principal(account_id="", arn=value, user_id="", kind=PrincipalKind.SERVICE, name=value))
        elif kind == "Federated":
            add(_holder(value))
    for arn in arns:
        add(_of_arn(arn))
    accounts |= {who.account_id for who in found.values() if who.kind in _INSIDE}
    names = {who.name for who in found.values()}
    other = next(name for name in ("somebody", *(f"somebody{n}" for n in range(len(names) + 1))) if name not in names)
    stranger = (
        next(a for a in (str(n) * 12 for n in range(10)) if a not in accounts) if len(accounts) < 10 else "0" * 11 + "1"
    )
    for account in (*sorted(accounts), stranger):
        add(_user(account, other))
        add(_session(account, other, "session"))
        add(Principal(account_id=account, arn=f"arn:aws:iam::{account}:root", user_id=account))
    service = next(
        s for s in ("other.amazonaws.com", "another.amazonaws.com", "unnamed.amazonaws.com") if s not in names
    )
    add(Principal(account_id="", arn=service, user_id="", kind=PrincipalKind.SERVICE, name=service))
    return list(found.values())


def _holder(provider: str) -> Principal:
    saml = ":saml-provider/" in provider
    return Principal(
        account_id="", arn=provider, user_id="holder", name="holder",
        kind=PrincipalKind.SAML if saml else PrincipalKind.WEB_IDENTITY,
        session=Session(name="holder", issued_at=0, expires_at=1, provider=provider),
    )  # fmt: skip


def context(who: Principal) -> Context:
    """The keys of `KEYS` that the principal's requests have (IAM User Guide: "Global condition context keys")."""
    if who.kind not in _INSIDE:
        return {}
    arn = who.session.issuer_arn if who.kind is PrincipalKind.ROLE and who.session is not None else who.arn
    return {"aws:principalarn": arn or who.arn, "aws:principalaccount": who.account_id}

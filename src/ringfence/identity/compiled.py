"""Policy documents compiled for the evaluator, once per text (IAM User Guide: "AWS JSON policy elements: Principal",
"… NotPrincipal", "… NotAction", "… NotResource").

`compiled` never raises. INVARIANT: a text that cannot be read denies everything to everybody; an operator that cannot be
read makes an Allow fail and a Deny hold.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ringfence.identity import conditions, patterns
from ringfence.identity.conditions import Test
from ringfence.identity.document import NEWEST, PolicyError, conditions_of, listed, read, statements_of, texts
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Context

_REMEMBERED_TEXTS = 4096  # compiled documents
_REMEMBERED_ACTIONS = 1024  # per document


class Match(enum.IntEnum):
    """How a Principal element names a caller; the greater, the less stands between grant and caller."""

    ACCOUNT = 1  # the caller's account: permission for its administrator to hand on
    ROLE = 2  # the role of the session, or the user behind a federated one
    ANY = 3  # everybody
    DIRECT = 4  # the user, or this very session


#: (caller, whether the caller has a permissions boundary) -> how the element takes the caller in, or None
PrincipalTest = Callable[[Principal, bool], Match | None]


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A compiled statement. `resource` None: any; `principal` None: the element is absent."""

    position: int
    sid: str | None
    allows: bool
    action: Callable[[str], bool]  # of an action in lower case
    resource: Callable[[str, Context], bool] | None
    tests: tuple[Test, ...]
    principal: PrincipalTest | None

    def holds(self, arn: str, context: Context) -> bool:
        """Whether resource and conditions match."""
        return (self.resource is None or self.resource(arn, context)) and all(test(context) for test in self.tests)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A compiled document."""

    statements: tuple[Statement, ...]
    _by_action: dict[str, tuple[Statement, ...]] = field(default_factory=dict)

    def about(self, action: str) -> tuple[Statement, ...]:
        """The statements whose Action takes in an action, given in lower case."""
        found = self._by_action.get(action)
        if found is None:
            found = tuple(one for one in self.statements if one.action(action))
            if len(self._by_action) < _REMEMBERED_ACTIONS:
                self._by_action[action] = found
        return found


@lru_cache(_REMEMBERED_TEXTS)
def compiled(text: str) -> Document:
    """The document of a text."""
    try:
        held = read(text)
        variables = held.get("Version") == NEWEST
        return Document(tuple(_statement(n, one, variables) for n, one in enumerate(statements_of(held))))
    except (PolicyError, KeyError, TypeError, AttributeError, ValueError):  # no document at all
        return Document((_DENY_ALL,))


def _everybody(_principal: Principal, _boundary: bool) -> Match:
    return Match.ANY


_DENY_ALL = Statement(0, None, False, lambda _action: True, None, (), _everybody)


def _statement(position: int, given: Mapping[str, Any], variables: bool) -> Statement:
    allows = {"Allow": True, "Deny": False}[given["Effect"]]
    return Statement(
        position, given.get("Sid") or None, allows, _action(given), _resource(given, variables, allows),
        tuple(_tests(given, variables, allows)), _principal(given, allows),
    )  # fmt: skip


# ---------------------------------------------------------------------- Action
def _action(given: Mapping[str, Any]) -> Callable[[str], bool]:
    """Action matching knows no letter case (IAM-21)."""
    inverted = "NotAction" in given
    values = [value.lower() for value in texts(given["NotAction" if inverted else "Action"])]
    exact = frozenset(value for value in values if not patterns.has_wildcards(value))
    wild = [patterns.glob(value, variables=False) for value in values if patterns.has_wildcards(value)]

    def named(action: str) -> bool:
        return action in exact or any(match(action, {}) for match in wild)

    return (lambda action: not named(action)) if inverted else named


# ---------------------------------------------------------------------- Resource
def _resource(given: Mapping[str, Any], variables: bool, allows: bool) -> Callable[[str, Context], bool] | None:
    """None for any resource. An Allow whose NotResource has a variable without a value does not match."""
    if "NotResource" in given:
        excluded = [patterns.resource(value, variables=variables) for value in texts(given["NotResource"])]

        def outside(arn: str, context: Context) -> bool:
            answers = [match(arn, context) for match in excluded]
            return not any(answers) and not (allows and None in answers)

        return outside
    if "Resource" not in given and "Principal" in given:  # a trust policy: about the role it is attached to
        return None
    values = texts(given["Resource"])
    if "*" in values:
        return None
    included = [patterns.resource(value, variables=variables) for value in values]
    if len(included) == 1:
        (only,) = included
        return lambda arn, context: only(arn, context) is True
    return lambda arn, context: any(match(arn, context) for match in included)


# ---------------------------------------------------------------------- Condition
def _tests(given: Mapping[str, Any], variables: bool, allows: bool) -> Iterable[Test]:
    for operator, key, values in conditions_of(given):
        name = conditions.read_name(operator)
        if name is not None:
            yield conditions.compile_test(name, key, values, variables=variables)
        elif allows:
            yield lambda _context: False


# ---------------------------------------------------------------------- Principal
_IN_AN_ACCOUNT = (PrincipalKind.ROOT, PrincipalKind.USER, PrincipalKind.ROLE, PrincipalKind.FEDERATED)
_ROOT_ARN = re.compile(r"arn:[^:]*:iam::([0-9]{12}):root")


@dataclass(frozen=True, slots=True)
class _Named:
    """What a Principal element lists."""

    anybody: bool
    accounts: frozenset[str]
    names: frozenset[str]  # ARNs and unique ids
    services: frozenset[str]
    providers: frozenset[str]


def _named(element: Any) -> _Named:
    listing: Mapping[str, Any] = element if isinstance(element, dict) else {"AWS": element}
    held = {type: frozenset(map(str, listed(values))) for type, values in listing.items()}
    aws = held.get("AWS", frozenset())
    roots = {value: found[1] for value in aws if (found := _ROOT_ARN.fullmatch(value))}
    accounts = frozenset(roots.values()) | {value for value in aws if re.fullmatch("[0-9]{12}", value)}
    return _Named(
        "*" in aws, accounts, aws - roots.keys() - accounts, held.get("Service", frozenset()),
        held.get("Federated", frozenset()),
    )  # fmt: skip


def _principal(given: Mapping[str, Any], allows: bool) -> PrincipalTest | None:
    if "Principal" in given:
        named = _named(given["Principal"])
        return lambda caller, _boundary: _match(named, caller)
    if "NotPrincipal" in given:
        return _all_but(_named(given["NotPrincipal"]), allows)
    return None


def names(given: Mapping[str, Any], caller: Principal) -> bool:
    """Whether a statement's Principal or NotPrincipal takes the caller in."""
    test = _principal(given, given["Effect"] == "Allow")
    return test is not None and test(caller, False) is not None


def _match(named: _Named, caller: Principal) -> Match | None:
    """How the caller is named, the closest first."""
    if _itself(named, caller):
        return Match.DIRECT
    if named.anybody:
        return Match.ANY
    if _issuer(named, caller):
        return Match.ROLE
    return Match.ACCOUNT if caller.kind in _IN_AN_ACCOUNT and caller.account_id in named.accounts else None


def _itself(named: _Named, caller: Principal) -> bool:
    if caller.kind is PrincipalKind.SERVICE:
        return caller.name in named.services or caller.arn in named.services
    provider = caller.session.provider if caller.session is not None else None
    if provider is not None and provider in named.providers:
        return True
    if caller.kind in (PrincipalKind.WEB_IDENTITY, PrincipalKind.SAML, PrincipalKind.ANONYMOUS):
        return False
    if caller.is_root and caller.account_id in named.accounts:
        return True
    return caller.arn in named.names or caller.user_id in named.names


def _issuer(named: _Named, caller: Principal) -> bool:
    session = caller.session
    if session is None or caller.kind not in (PrincipalKind.ROLE, PrincipalKind.FEDERATED):
        return False
    return session.issuer_arn in named.names or session.issuer_id in named.names


def _all_but(named: _Named, allows: bool) -> PrincipalTest:
    """NotPrincipal. AWS ("NotPrincipal", key points and second example): account, then role, then session are asked in turn,
    so a caller is spared only when each of them is listed; nobody with a permissions boundary is spared by a Deny; with
    Allow the element "is not supported", so that grants nothing."""

    def outside(caller: Principal, boundary: bool) -> Match | None:
        if allows:
            return None
        account = caller.kind not in _IN_AN_ACCOUNT or caller.account_id in named.accounts
        role = caller.kind is not PrincipalKind.ROLE or _issuer(named, caller)
        spared = named.anybody or (_itself(named, caller) and account and role)
        return None if spared and not boundary else Match.ANY

    return outside

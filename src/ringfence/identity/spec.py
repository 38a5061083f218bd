"""What the policies answer, stated a second time: slow, plain, and sharing nothing with the evaluator but the question.

Documents (IAM User Guide): [E] "Policy evaluation logic" with "How AWS enforcement code logic evaluates requests",
[X] "Cross-account policy evaluation logic", [C] "IAM JSON policy elements: Condition operators", [S] "Set operators for
multivalued context keys", [V] "IAM policy elements: Variables and tags", [P] "Principal", [N] "NotPrincipal",
[R] "Resource"; Organizations User Guide: [O] "SCP evaluation", "RCP evaluation". Rows IAM-14 to IAM-28.
Raises ValueError or KeyError for a text that is no policy: what is stored has been validated.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Attached, Context, Effect, Policies, Question, Target

Statement = dict[str, Any]


def answer(question: Question, policies: Policies) -> Effect:
    """Every target must be allowed (IAM-25): the answer about the first that is not. No target: nothing is allowed."""
    if question.action.lower() == "sts:getcalleridentity":
        return Effect.ALLOWED  # STS API Reference: "No permissions are required", not even a Deny is heard
    for target in question.targets:
        effect = _about(question, target, policies)
        if effect is not Effect.ALLOWED:
            return effect
    return Effect.ALLOWED if question.targets else Effect.IMPLICIT_DENY


# ------------------------------------------------------------------------------------------------ the order of policies
#: [E] who has an identity in an account, and so identity policies; service control policies bind nobody else [O]
_IN_AN_ACCOUNT = (PrincipalKind.ROOT, PrincipalKind.USER, PrincipalKind.ROLE, PrincipalKind.FEDERATED)
#: [E] "IAM role trust policies and KMS key policies are exceptions": without it nothing is allowed
_TRUST = ("sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity", "sts:tagsession",
          "sts:setsourceidentity")  # fmt: skip


class _Asking:
    """One question about one target."""

    def __init__(self, question: Question, target: Target, policies: Policies) -> None:
        self.who, self.action, self.target, self.policies = question.principal, question.action, target, policies
        self.context: Context = {**question.context, **target.context}

    def applying(self, effect: str, attached: Iterable[Attached], *, named: bool = False) -> list[Statement]:
        """The statements with this effect that apply; `named`: in these policies, principals are named."""
        found: list[Statement] = []
        for policy in attached:
            document = json.loads(policy.text)
            variables = document.get("Version") == "2012-10-17"  # [V] older policies have no variables
            these = [s for s in _list(document["Statement"]) if s["Effect"] == effect]
            found += [s for s in these if self._applies(s, variables, named)]
        return found

    def _applies(self, statement: Statement, variables: bool, named: bool) -> bool:
        return (
            _action_matches(statement, self.action)
            and _resource_matches(statement, self.target.arn, self.context, variables)
            and (not named or bool(_named(statement, self.who, bounded=self.policies.boundary is not None)))
            and _conditions_hold(statement, self.context, variables)
        )

    def allows(self, *attached: Attached, named: bool = False) -> bool:
        return bool(self.applying("Allow", attached, named=named))


def _about(question: Question, target: Target, policies: Policies) -> Effect:
    ask, who = _Asking(question, target, policies), question.principal
    issuer = (who.session.issuer_arn if who.session is not None else None) or ""
    exempt = ":role/aws-service-role/" in issuer  # [O] "SCPs do not affect any service-linked role", RCPs neither
    scps = () if exempt or who.kind not in _IN_AN_ACCOUNT else policies.service_control
    rcps = () if exempt else policies.resource_control
    resource = () if target.policy is None else (target.policy,)
    endpoint = () if policies.endpoint is None else (policies.endpoint,)
    boundary = () if policies.boundary is None else (policies.boundary,)
    unnamed = [*policies.identity, *boundary, *(policies.session or ())]
    unnamed += [policy for level in scps for policy in level]
    naming = [*resource, *endpoint, *(policy for level in rcps for policy in level)]
    if ask.applying("Deny", unnamed) or ask.applying("Deny", naming, named=True):
        return Effect.EXPLICIT_DENY  # [E] "If the code finds even one explicit deny that applies"
    passed = (
        all(ask.allows(*level, named=True) for level in rcps)
        and all(ask.allows(*level) for level in scps)  # [O] an Allow at every level from the root to the account
        and (not endpoint or any(_admits(s, who) for s in ask.applying("Allow", endpoint, named=True)))
        and _granted(ask, {way for s in ask.applying("Allow", resource, named=True) for way in _named(s, who)})
    )
    return Effect.ALLOWED if passed else Effect.IMPLICIT_DENY


def _admits(statement: Statement, who: Principal) -> bool:
    """PrivateLink Guide, of gateway endpoints: an account as principal means "the account root user only" (VPE-10)."""
    return who.kind is PrincipalKind.ROOT or _named(statement, who) != {"account"}


def _granted(ask: _Asking, ways: set[str]) -> bool:
    """Whether identity and resource policies together grant; `ways`: how the resource policy names the caller."""
    who, policies = ask.who, ask.policies
    if who.kind not in _IN_AN_ACCOUNT:
        return bool(ways)  # services, strangers and token holders have nothing but the resource policy
    bounded = policies.boundary is None or ask.allows(policies.boundary)
    if policies.session is None:  # [E] without a session policy a role session goes on, a federated user does not
        in_session = who.kind is not PrincipalKind.FEDERATED
    else:
        in_session = ask.allows(*policies.session)
    own = who.kind is PrincipalKind.ROOT or (ask.allows(*policies.identity) and bounded and in_session)
    if who.account_id != ask.target.account_id:
        return own and bool(ways)  # [X] "only if both evaluations return a decision of Allow"
    key = re.match(r"arn:[^:]*:kms:[^:]*:[^:]*:key/", ask.target.arn) and ask.action.lower().startswith("kms:")
    if not ways and (key or ask.action.lower() in _TRUST):
        return False
    # [E] "Resource-based policies and implicit denies in other policy types (same account)"
    return "direct" in ways or ("issuer" in ways and bounded and in_session) or own


# --------------------------------------------------------------------------------------------------------- who is named
def _named(statement: Statement, who: Principal, *, bounded: bool = False) -> set[str]:
    """How the statement names the caller: "direct", "issuer" (the role or user behind the session), "account"."""
    if "NotPrincipal" not in statement:
        return _ways(statement["Principal"], who)
    if statement["Effect"] == "Allow":
        return set()  # [N] "Using it with Allow is not supported"
    listed = _ways(statement["NotPrincipal"], who)
    if bounded:
        return {"direct"}  # [N] "will always deny any IAM principal that has a permissions boundary"
    # [N] account, then user or role, then session are asked in turn: each must be listed for the caller to be spared
    needed = {"account"} if who.kind is PrincipalKind.ROOT else {"account", "direct"}
    needed |= {"issuer"} if who.kind is PrincipalKind.ROLE else set()
    spared = "anyone" in listed or (needed if who.kind in _IN_AN_ACCOUNT else {"direct"}) <= listed
    return set() if spared else {"direct"}


def _ways(element: Any, who: Principal) -> set[str]:
    if element == "*":
        return {"direct", "anyone"}  # [P] "For IAM users and role principals within your account, no other permissions"
    return {way for kind, values in element.items() for value in _list(values) for way in _way(kind, value, who)}


def _way(kind: str, value: str, who: Principal) -> set[str]:
    session = who.session
    if kind == "Service":
        return {"direct"} if who.kind is PrincipalKind.SERVICE and value in (who.arn, who.name) else set()
    if kind == "Federated":
        holder = who.kind in (PrincipalKind.WEB_IDENTITY, PrincipalKind.SAML)
        return {"direct"} if holder and session is not None and value == session.provider else set()
    if kind != "AWS":
        return set()
    if value == "*":
        return {"direct", "anyone"}  # [P] equivalent to "*"
    if who.kind not in _IN_AN_ACCOUNT:
        return set()
    if value == who.account_id or re.fullmatch(rf"arn:[^:]*:iam::{re.escape(who.account_id)}:root", value):
        return {"account"}  # [P] "Both delegate permissions to the account"
    if value == who.arn:
        return {"direct"}
    behind = who.kind in (PrincipalKind.ROLE, PrincipalKind.FEDERATED) and session is not None
    return {"issuer"} if behind and session is not None and value == session.issuer_arn else set()


# --------------------------------------------------------------------------------------------------- action and resource
def _action_matches(statement: Statement, action: str) -> bool:
    """Wildcards; upper and lower case are the same (IAM-21)."""
    negated = "NotAction" in statement
    listed = _list(statement["NotAction" if negated else "Action"])
    return any(_glob([(one.lower(), False)], action.lower()) for one in listed) != negated


def _resource_matches(statement: Statement, arn: str, context: Context, variables: bool) -> bool:
    if "Resource" not in statement and "NotResource" not in statement:
        return True  # trust policies: the resource is the role that has it
    negated = "NotResource" in statement
    listed = _list(statement["NotResource" if negated else "Resource"])
    return any(_resource_is(one, arn, context, variables) for one in listed) != negated


def _resource_is(pattern: str, arn: str, context: Context, variables: bool) -> bool:
    """[R] a wildcard stays inside its segment, but a `*` at the end of one may go on past the colon; an action without
    resource-level permission is "*", which nothing else is like (IAM-24)."""
    segments = _segments(pattern, context, variables)
    if pattern == "*" or segments is None or arn == "*":
        return pattern == "*"
    made = [_expression(one, "[^:]*", "[^:]", ".*") for one in segments[:5]]
    made += [_expression(one, ".*", ".", ".*") for one in segments[5:]]
    return re.fullmatch(":".join(made), arn, re.DOTALL) is not None


def _arn_like(pattern: str, arn: str, context: Context, variables: bool) -> bool:
    """[C] "Each of the six colon-delimited components of the ARN is checked separately"."""
    segments, parts = _segments(pattern, context, variables), arn.split(":", 5)
    if segments is None or len(segments) != 6 or len(parts) != 6:
        return False
    return all(_glob(one, part) for one, part in zip(segments, parts, strict=True))


def _segments(pattern: str, context: Context, variables: bool) -> list[list[tuple[str, bool]]] | None:
    """The pieces of each of the pattern's (at most six) segments; None if a variable has no value."""
    pieces = _pieces(pattern, context, variables)
    if pieces is None:
        return None
    segments: list[list[tuple[str, bool]]] = [[]]
    for text, literal in pieces:
        first, *rest = [text] if literal else text.split(":", 6 - len(segments))
        segments[-1].append((first, literal))
        segments += [[(part, False)] for part in rest]
    return segments


# -------------------------------------------------------------------------------------------------- wildcards, variables
def _glob(pieces: list[tuple[str, bool]], value: str) -> bool:
    """Whether the value is of this pattern: (text, is it literal?) pieces, `*` any run of characters, `?` any one."""
    return re.fullmatch(_expression(pieces, ".*", ".", ".*"), value, re.DOTALL) is not None


def _expression(pieces: list[tuple[str, bool]], run: str, one: str, last: str) -> str:
    """As a regular expression; `last`: what a `*` at the very end stands for."""
    wild = {"*": run, "?": one}
    made = [re.escape(c) if fixed else wild.get(c, re.escape(c)) for text, fixed in pieces for c in text]
    text, literal = next(((t, fixed) for t, fixed in reversed(pieces) if t), ("", True))
    return "".join([*made[:-1], last] if text.endswith("*") and not literal else made)


def _pieces(text: str, context: Context, variables: bool) -> list[tuple[str, bool]] | None:
    """The text with its variables' values, which are literal; None if one has no value [V]."""
    if not variables:
        return [(text, False)]
    pieces, end = [], 0
    for found in re.finditer(r"\$\{([^}]*)\}", text):
        pieces.append((text[end : found.start()], False))
        end = found.end()
        value = _variable(found[1], context)
        if value is None:
            return None
        pieces.append((value, True))
    return [*pieces, (text[end:], False)]


def _variable(name: str, context: Context) -> str | None:
    if name in ("*", "?", "$"):
        return name
    key, comma, default = name.partition(",")
    value = context.get(key.strip().lower())
    if isinstance(value, str):
        return value  # [V] "You can't use a multivalued condition key as a variable"
    quoted = re.fullmatch(r"\s*'(.*)'\s*", default, re.DOTALL)
    return quoted[1] if comma and quoted else None


# ------------------------------------------------------------------------------------------------------------ conditions
Test = Callable[[str, str, Context, bool], bool]  # (policy's value, request's value, context, variables?)


def _conditions_hold(statement: Statement, context: Context, variables: bool) -> bool:
    """Operators and keys are ANDed (IAM-26)."""
    return all(
        _holds(operator, context.get(key.lower()), [_text(v) for v in _list(values)], context, variables)
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _holds(operator: str, value: Any, wanted: list[str], context: Context, variables: bool) -> bool:
    name = operator.lower()
    if name == "null":  # [C] "false (the key exists and its value is not null)"
        return ("true" if value in (None, ()) else "false") in [one.lower() for one in wanted]
    qualifier, _, rest = name.rpartition(":")
    plain = rest.removesuffix("ifexists")
    if value is None and rest != plain:
        return True  # [C] "If the key is not present, evaluate the condition element as true"
    negated, test = _operator(plain)

    def one(given: str) -> bool:
        """[S] of a negated operator none of the policy's values may match."""
        return any(test(w, given, context, variables) for w in wanted) != negated

    given = () if value is None else (value,) if isinstance(value, str) else value
    if qualifier == "forallvalues":
        return all(one(v) for v in given)  # [S] also true if there is none
    if qualifier == "foranyvalue":
        return any(one(v) for v in given)  # [S] false if there is none
    if qualifier:
        raise ValueError(f"no set operator: {operator}")
    if not given:
        return negated  # [C] a missing key does not match
    return len(given) == 1 and one(given[0])


def _operator(name: str) -> tuple[bool, Test]:
    """Whether the operator is a negated one, and what it compares."""
    if name in _TESTS:
        return False, _TESTS[name]
    positive = "ipaddress" if name == "notipaddress" else name.replace("not", "", 1)
    if positive in _TESTS and positive != name and "than" not in name:
        return True, _TESTS[positive]
    raise ValueError(f"no condition operator: {name}")


def _equals(fold: Callable[[str], str]) -> Test:
    def test(wanted: str, given: str, context: Context, variables: bool) -> bool:
        pieces = _pieces(wanted, context, variables)
        return pieces is not None and fold("".join(text for text, _ in pieces)) == fold(given)

    return test


def _like(wanted: str, given: str, context: Context, variables: bool) -> bool:
    pieces = _pieces(wanted, context, variables)
    return pieces is not None and _glob(pieces, given)


def _read(parse: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Test:
    """`compare(policy's, request's)`; what cannot be read does not match. These take no variables [V]."""

    def test(wanted: str, given: str, _context: Context, _variables: bool) -> bool:
        try:
            return compare(parse(wanted), parse(given))
        except ValueError:
            return False

    return test


def _number(text: str) -> Decimal:
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text, re.ASCII):
        raise ValueError(text)
    return Decimal(text)


_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d))?)?)?", re.ASCII)


def _date(text: str) -> Decimal:
    """Seconds since 1970, of the W3C profile of ISO 8601 or of an epoch time [C]."""
    if re.fullmatch(r"-?[0-9]{5,}(\.[0-9]+)?", text, re.ASCII):
        return Decimal(text)
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    when = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
    seconds = Decimal((when - datetime(1970, 1, 1)) // timedelta(seconds=1)) + Decimal(fraction or 0)
    if zone not in (None, "Z"):
        away = (int(zone[1:3]) * 60 + int(zone[4:])) * 60
        seconds -= away if zone[0] == "+" else -away
    return seconds


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as fault:
        raise ValueError(text) from fault


def _in_block(block: Any, address: Any) -> bool:
    return block.version == address.version and bool(address.subnet_of(block))


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda wanted, given: given == wanted,
    "lessthan": lambda wanted, given: given < wanted,
    "lessthanequals": lambda wanted, given: given <= wanted,
    "greaterthan": lambda wanted, given: given > wanted,
    "greaterthanequals": lambda wanted, given: given >= wanted,
}
_TESTS: dict[str, Test] = {
    "stringequals": _equals(lambda text: text),
    "stringequalsignorecase": _equals(str.lower),
    "stringlike": _like,
    "bool": _read(_truth, _COMPARISONS["equals"]),
    "binaryequals": _read(_bytes, _COMPARISONS["equals"]),
    "ipaddress": _read(lambda text: ipaddress.ip_network(text, strict=False), _in_block),
    "arnequals": _arn_like,
    "arnlike": _arn_like,  # [C] "behave identically"
    **{f"numeric{name}": _read(_number, compare) for name, compare in _COMPARISONS.items()},
    **{f"date{name}": _read(_date, compare) for name, compare in _COMPARISONS.items()},
}


# ------------------------------------------------------------------------------------------------------------------ JSON
def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """A condition value; numbers and truth values may stand without quotation marks (grammar)."""
    return str(value).lower() if isinstance(value, bool) else str(value)

"""Questions and policies for the specification and the evaluator: small vocabularies, so that edges meet.

Random alone misses what matters (a boundary that never decides, a missing key that is never asked for), so most cases are
directed: everything is allowed but for the one or two layers that the case is about. What AWS's documents leave open is
not asked: see docs/iam.md.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Attached, Policies, Question, Target

HOME, AWAY = "111122223333", "444455556666"
Statement = dict[str, Any]
EVERYTHING: Statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
ELSEWHERE: Statement = {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}


@dataclass(frozen=True)
class Case:
    """One question and the policies it is put to; `theme` says which generator made it."""

    theme: str
    question: Question
    policies: Policies


# ------------------------------------------------------------------------------------------------------- vocabularies
ACTIONS = (
    *("ec2:CreateSubnet", "ec2:DescribeVpcs", "ec2:DeleteSubnet", "s3:GetObject", "iam:GetUser") * 4, "sts:GetCallerIdentity",
)  # fmt: skip
ACTION_PATTERNS = (
    "*", "ec2:*", "EC2:createsubnet", "ec2:Create*", "ec2:*Subnet", "ec2:?reateSubnet", "ec2:?eateSubnet", "s3:*", "s3:Get?bject",
    "ec2:Describe*", "ec2:CreateSubne", "ec2:CreateSubnet", "iam:Get*", "*:Get*", "ec2:*e*e*t", "ec2:CreateSubnet?", "s3:getobject",
)  # fmt: skip
ARNS = (
    "*",
    f"arn:aws:ec2:us-east-1:{HOME}:subnet/subnet-a",
    f"arn:aws:ec2:us-east-1:{HOME}:subnet/subnet-B",
    f"arn:aws:ec2:eu-west-1:{HOME}:vpc/vpc-a",
    "arn:aws:ec2:us-east-1::image/ami-a",
    "arn:aws:s3:::bucket/alice/one",
    "arn:aws:s3:::bucket/a:b:c",
    "arn:aws:sns:us-east-1:111122223333:topic:one",
    "arn:aws:s3:::bucket/*",
    "arn:aws:s3:::bucket/open/x",
    "arn:aws:s3:::bucket/?",
    f"arn:aws:iam::{HOME}:user/alice",
)
ARN_PATTERNS = (
    "*", *ARNS[1:], f"arn:aws:ec2:*:{HOME}:subnet/*", "arn:aws:ec2:*:*:*", "arn:aws:ec2:us-east-?:*:subnet/subnet-?",
    "arn:aws:ec2:*:*:subnet", "arn:aws:s3:::*", "arn:aws:s3:::bucket/*/one", "arn:aws:s3:::bucket/a*c",
    "arn:aws:ec2:us-east-1::image/*", "arn:aws:ec2:us-east-1:*:image/*", "arn:aws:ec2:us-east-1:?:image/*",
    "arn:aws:s3:::bucket/${aws:username}/*", "arn:aws:s3:::bucket/${aws:UserName}/one", "arn:aws:s3:::bucket/${*}",
    "arn:aws:s3:::bucket/${?}", "arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'open'}/*", "arn:aws:s3:::bucket/${aws:principaltag/team}/*",
    "arn:aws:s3:::bucket/${aws:TagKeys}/*", f"arn:aws:iam::{HOME}:user/${{aws:username}}", f"arn:aws:ec2:us-east-1:{HOME}:SUBNET/subnet-a",
    "arn:aws:ec2:*:subnet/*", "arn:aws:s3:*", "arn:aws:s3:::bucket/a:*:c", "arn:aws:*:one", "arn:aws:*sns:*", "arn:aws:ec2:us-*",
    "arn:aws:ec2:us-*3:subnet/subnet-a", "arn:aws:*:*:*:*", "arn:aws:s3:::BUCKET/*", "arn:aws:s3:::bucket/alice/??e",
)  # fmt: skip
#: the patterns whose variables always have a value: what an Allow with NotResource does otherwise, no document says
SURE_PATTERNS = tuple(p for p in ARN_PATTERNS if "${aws" not in p or "'open'" in p)
STRINGS = ("alice", "Alice", "bob", "al*ce", "", "ali?e", "open", "a:b", "${aws:username}")
STRING_PATTERNS = (
    *STRINGS, "a*", "*", "?????", "${aws:username}", "${AWS:Username}*", "${aws:PrincipalTag/team, 'bob'}", "al${*}ce", "al${?}ce",
    "${$}{aws:username}", "${aws:TagKeys}", "${aws:nothing}", "x${aws:username}", "${aws:nothing, ''}", "ALICE",
)  # fmt: skip
NUMBERS = ("10", "9", "10.0", "-1", "010", "9.99", "ten", "", "1.2.3", "100")
NUMBER_PATTERNS = (*NUMBERS, 10, 9, 9.5, "${aws:username}")
DATES = (
    "2020-01-01T00:00:00Z", "2020-01-01", "1577836800", "2020-01-01T01:00:00+01:00", "2019-12-31T23:59:59Z", "2020-01",
    "2020-13-01", "2020-02-30T00:00:00Z", "tomorrow", "", "2020-01-01T00:00:00.5Z", "1577836801", "2021-06-01T12:00Z",
)  # fmt: skip
BOOLS = ("true", "false", "TRUE", "False")
BINARIES = ("QmluYXJ5", "b3RoZXI=", "AA==")
ADDRESSES = ("203.0.113.9", "203.0.114.9", "10.0.0.1", "2001:db8::1", "2001:DB8:0::1", "300.1.1.1", "nowhere", "")
BLOCKS = (
    "203.0.113.0/24", "203.0.113.9", "203.0.113.9/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:DB8::1", "203.0.113.77/24",
    "203.0.113.0/33", "10.0.0.0/8", "nonsense", "",
)  # fmt: skip
VPCS = (
    f"arn:aws:ec2:us-east-1:{HOME}:vpc/vpc-a", f"arn:aws:ec2:us-east-1:{HOME}:vpc/vpc-b", f"arn:aws:ec2:eu-west-1:{AWAY}:vpc/vpc-a",
    "arn:aws:some:us-east-2:999999999999:store/abc:111122223333:finance/x", "vpc-a",
)  # fmt: skip
VPC_PATTERNS = (
    *VPCS[:4], f"arn:aws:ec2:*:{HOME}:vpc/*", "arn:aws:ec2:*:*:vpc/vpc-?", "arn:aws:some:*:111122223333:finance/*",
    "arn:aws:ec2:us-east-1:*:vpc/vpc-${aws:principaltag/team, 'a'}",
)  # fmt: skip
#: kind of value -> (operators, a key, values of requests, values of policies)
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[Any, ...], tuple[Any, ...]]] = {
    "string": (
        ("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"),
        ("aws:RequestTag/stack", "aws:requesttag/Stack"), STRINGS, STRING_PATTERNS,
    ),
    "number": (
        ("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
         "NumericGreaterThanEquals"),
        ("s3:max-keys",), NUMBERS, NUMBER_PATTERNS,
    ),
    "date": (
        ("DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"),
        ("aws:CurrentTime",), DATES, DATES,
    ),
    "bool": (("Bool",), ("aws:MultiFactorAuthPresent",), BOOLS, (*BOOLS, True, False)),
    "binary": (("BinaryEquals",), ("ec2:blob",), BINARIES, BINARIES),
    "address": (("IpAddress", "NotIpAddress"), ("aws:SourceIp",), ADDRESSES, BLOCKS),
    "arn": (("ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"), ("ec2:Vpc",), VPCS, VPC_PATTERNS),
}  # fmt: skip


def some(chance: random.Random, values: tuple[Any, ...], most: int = 3) -> Any:
    """One value, or a list of a few."""
    if chance.random() < 0.5:
        return chance.choice(values)
    return [chance.choice(values) for _ in range(chance.randint(1, most))]


def attached(chance: random.Random, *statements: Statement, old: bool = False) -> Attached:
    """A policy of these statements; `old`: perhaps in the language that knows no variables."""
    document: dict[str, Any] = {"Version": "2012-10-17"}
    if old and chance.random() < 0.15:
        document = chance.choice(({}, {"Version": "2008-10-17"}))
    one = len(statements) == 1 and chance.random() < 0.5
    document["Statement"] = statements[0] if one else list(statements)
    return Attached(f"p{chance.randrange(9)}", json.dumps(document))


def whole(chance: random.Random) -> Attached:
    return attached(chance, EVERYTHING)


# ---------------------------------------------------------------------------------------------------------- conditions
def condition(chance: random.Random, kinds: tuple[str, ...] = tuple(KINDS)) -> dict[str, dict[str, Any]]:
    """One to three tests."""
    made: dict[str, dict[str, Any]] = {}
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if chance.random() < 0.1:
            key = chance.choice(("aws:RequestTag/stack", "aws:TagKeys", "aws:nothing", "AWS:USERNAME"))
            made.setdefault("Null", {})[key] = chance.choice(("true", "false", True, ["true", "false"]))
            continue
        operators, keys, _, values = KINDS[chance.choice(kinds)]
        operator, key = chance.choice(operators), chance.choice(keys)
        if chance.random() < 0.25:
            operator += "IfExists"
        if chance.random() < 0.08:
            operator = chance.choice((operator.lower(), operator.upper()))
        made.setdefault(operator, {})[key] = some(chance, values)
    return made


def set_condition(chance: random.Random) -> dict[str, dict[str, Any]]:
    """A test of a multi-valued key."""
    operator = chance.choice(("ForAllValues:", "ForAnyValue:", "forallvalues:"))
    return {operator + chance.choice(KINDS["string"][0]): {"aws:TagKeys": some(chance, STRING_PATTERNS)}}


def context(chance: random.Random) -> dict[str, Any]:
    """Each key is there in two of three requests."""
    made: dict[str, Any] = {}
    for _, keys, values, _ in KINDS.values():
        if chance.random() < 0.67:
            made[keys[0].lower()] = chance.choice(values)
    if chance.random() < 0.7:
        made["aws:username"] = chance.choice(STRINGS)
    if chance.random() < 0.4:
        made["aws:principaltag/team"] = chance.choice(("open", "a", "alice"))
    if chance.random() < 0.7:
        made["aws:tagkeys"] = tuple(chance.choice(STRINGS) for _ in range(chance.randint(0, 3)))
    return made


# ----------------------------------------------------------------------------------------------------------- principals
def principals(account: str) -> tuple[Principal, ...]:
    """One of each kind."""
    role, linked = (
        f"arn:aws:iam::{account}:role/ops",
        f"arn:aws:iam::{account}:role/aws-service-role/x.amazonaws.com/SLR",
    )
    user = f"arn:aws:iam::{account}:user/alice"

    def session(issuer: str | None, provider: str | None = None) -> Session:
        return Session(name="s", issued_at=1, expires_at=2, issuer_arn=issuer, issuer_id="AROAX", provider=provider)

    def one(arn: str, kind: PrincipalKind, name: str = "", session: Session | None = None) -> Principal:
        return Principal(account_id=account, arn=arn, user_id="AIDAX", kind=kind, name=name, session=session)

    return (
        one(f"arn:aws:iam::{account}:root", PrincipalKind.ROOT),
        one(user, PrincipalKind.USER, "alice"),
        one(user, PrincipalKind.USER, "alice", session(None)),
        one(f"arn:aws:sts::{account}:assumed-role/ops/s", PrincipalKind.ROLE, "ops", session(role)),
        one(f"arn:aws:sts::{account}:assumed-role/SLR/s", PrincipalKind.ROLE, "SLR", session(linked)),
        one(f"arn:aws:sts::{account}:federated-user/alice", PrincipalKind.FEDERATED, "alice", session(user)),
    )


INSIDERS = (*principals(HOME), *principals(AWAY))
PROVIDER = f"arn:aws:iam::{HOME}:saml-provider/idp"
OUTSIDERS = (
    Principal(account_id="", arn="flow.amazonaws.com", user_id="", kind=PrincipalKind.SERVICE, name="flow.amazonaws.com"),
    Principal(account_id="", arn="", user_id="", kind=PrincipalKind.ANONYMOUS),
    Principal(
        account_id=HOME, arn=PROVIDER, user_id="joe", kind=PrincipalKind.SAML, name="joe",
        session=Session(name="joe", issued_at=1, expires_at=2, provider=PROVIDER),
    ),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(p.arn for p in INSIDERS))
ISSUERS = tuple(dict.fromkeys(p.session.issuer_arn for p in INSIDERS if p.session is not None and p.session.issuer_arn))


def named(chance: random.Random, who: Principal) -> Any:
    """A Principal element, often about the caller."""
    roll = chance.random()
    if roll < 0.12:
        return "*"
    if roll < 0.2:
        return {"AWS": "*"} if who.kind is not PrincipalKind.SERVICE else {"Service": who.name}
    if roll < 0.3:
        return {"Service": some(chance, ("flow.amazonaws.com", "other.amazonaws.com"))}
    if roll < 0.38:
        return {"Federated": some(chance, (PROVIDER, PROVIDER + "x", "accounts.google.com"))}
    own: list[str] = [who.arn, who.account_id, f"arn:aws:iam::{who.account_id}:root"]
    if who.session is not None and who.session.issuer_arn is not None:
        own += [who.session.issuer_arn] * 3
    pool = own if who in INSIDERS and roll < 0.85 else [*NAMES, *ISSUERS, HOME, AWAY]
    made: dict[str, Any] = {"AWS": some(chance, tuple(pool))}
    if chance.random() < 0.1:
        made["Service"] = "flow.amazonaws.com"
    return made


# ------------------------------------------------------------------------------------------------------------- statements
def statement(chance: random.Random, *, deny: float = 0.25, conditions: float = 0.4) -> Statement:
    """A statement about actions, resources and conditions."""
    made: Statement = {"Effect": "Deny" if chance.random() < deny else "Allow"}
    if chance.random() < 0.3:
        made["Sid"] = "S1"
    made["NotAction" if chance.random() < 0.2 else "Action"] = some(chance, ACTION_PATTERNS)
    _resource(chance, made, negated=0.2)
    if chance.random() < conditions:
        made["Condition"] = set_condition(chance) if chance.random() < 0.3 else condition(chance)
    return made


def _resource(chance: random.Random, made: Statement, negated: float) -> None:
    if chance.random() < negated:
        made["NotResource"] = some(chance, SURE_PATTERNS if made["Effect"] == "Allow" else ARN_PATTERNS)
    else:
        made["Resource"] = some(chance, ARN_PATTERNS)


def policy(chance: random.Random, **more: float) -> Attached:
    return attached(chance, *(statement(chance, **more) for _ in range(chance.choice((1, 1, 2, 3)))), old=True)


def resource_statement(chance: random.Random, who: Principal, *, deny: float = 0.2) -> Statement:
    """A statement of a resource's own policy."""
    made: Statement = {"Effect": "Deny" if chance.random() < deny else "Allow", "Action": "*", "Resource": "*"}
    if chance.random() < 0.2:
        made["Action"] = some(chance, ACTION_PATTERNS)
    if chance.random() < 0.2:
        made["Resource"] = some(chance, ARN_PATTERNS)
    negated = made["Effect"] == "Deny" and chance.random() < 0.5
    made["NotPrincipal" if negated else "Principal"] = _spared(chance, who) if negated else named(chance, who)
    if chance.random() < 0.15:
        made["Condition"] = condition(chance)
    return made


def _spared(chance: random.Random, who: Principal) -> Any:
    """What a NotPrincipal names: the account and the caller, or one of the two, or others (documented forms)."""
    if who not in INSIDERS:
        return {"Service": some(chance, ("flow.amazonaws.com", "other.amazonaws.com"))}
    mine = [who.arn]
    if who.session is not None and who.session.issuer_arn is not None:
        mine.append(who.session.issuer_arn)
    root = f"arn:aws:iam::{who.account_id}:root"
    return {
        "AWS": chance.choice(([*mine, root], [mine[-1], root], [*mine, who.account_id], [NAMES[1], NAMES[8]], [root]))
    }


# ----------------------------------------------------------------------------------------------------------------- cases
def _ask(chance: random.Random, who: Principal, *, resource: Attached | None = None, arn: str = "", action: str = "",
         account: str = "", count: int = 1) -> Question:  # fmt: skip
    keys = context(chance)
    own = {key: keys.pop(key) for key in list(keys) if chance.random() < 0.3}  # the resource's own keys
    targets = tuple(
        Target(
            arn=arn or chance.choice(ARNS), account_id=account or who.account_id or HOME, context=own, policy=resource
        )
        for _ in range(count)
    )
    if own and chance.random() < 0.2:  # the request says otherwise: the resource's key wins
        keys.update({key: chance.choice(KINDS["string"][2]) for key in own if key == "aws:requesttag/stack"})
    return Question(principal=who, action=action or chance.choice(ACTIONS), targets=targets, context=keys)


def identity(chance: random.Random) -> tuple[Question, Policies]:
    """Identity policies alone: actions, resources, conditions."""
    policies = tuple(policy(chance) for _ in range(chance.choice((1, 1, 2))))
    return _ask(chance, chance.choice(INSIDERS[1:4])), Policies(identity=policies)


def conditions(chance: random.Random) -> tuple[Question, Policies]:
    """One condition decides."""
    made: Statement = {**EVERYTHING, "Condition": condition(chance)}
    if chance.random() < 0.3:
        made["Effect"] = "Deny"
    return _ask(chance, INSIDERS[1]), Policies(identity=(attached(chance, made, old=True), *_maybe_whole(chance, made)))


def sets(chance: random.Random) -> tuple[Question, Policies]:
    """One set operator decides."""
    made: Statement = {**EVERYTHING, "Effect": chance.choice(("Allow", "Deny")), "Condition": set_condition(chance)}
    return _ask(chance, INSIDERS[1]), Policies(identity=(attached(chance, made), *_maybe_whole(chance, made)))


def _maybe_whole(chance: random.Random, made: Statement) -> tuple[Attached, ...]:
    return (whole(chance),) if made["Effect"] == "Deny" else ()


def resources(chance: random.Random) -> tuple[Question, Policies]:
    """A pattern of resources, with variables, decides."""
    made: Statement = {"Effect": chance.choice(("Allow", "Deny")), "Action": "*"}
    _resource(chance, made, negated=0.5)
    return _ask(chance, INSIDERS[1]), Policies(identity=(attached(chance, made, old=True), *_maybe_whole(chance, made)))


def limits(chance: random.Random) -> tuple[Question, Policies]:
    """Boundary, session policy, service control, resource control, endpoint: one or two of them narrow."""
    who = chance.choice(INSIDERS[:6])
    layers: dict[str, Any] = {}
    for name in chance.sample(
        ("boundary", "session", "service_control", "resource_control", "endpoint"), chance.randint(1, 2)
    ):
        layers[name] = LAYERS[name](chance, who)
    if who.session is None or who.kind is PrincipalKind.USER:
        layers.pop("session", None)
    identity = () if chance.random() < 0.1 else (whole(chance),)
    if who.kind is PrincipalKind.ROOT:
        identity = ()
        layers.pop("boundary", None)
    return _ask(chance, who), Policies(identity=identity, **layers)


def _narrow(chance: random.Random) -> Attached:
    roll = chance.random()
    if roll < 0.3:
        return whole(chance)
    return attached(chance, ELSEWHERE) if roll < 0.5 else policy(chance, conditions=0.2)


def _levels(chance: random.Random, who: Principal) -> tuple[tuple[Attached, ...], ...]:
    return tuple(
        tuple(
            _narrow(chance) if chance.random() < 0.5 else whole(chance) for _ in range(chance.choice((1, 1, 1, 2, 0)))
        )
        for _ in range(chance.randint(1, 3))
    )


def _resource_levels(chance: random.Random, who: Principal) -> tuple[tuple[Attached, ...], ...]:
    full = attached(chance, {**EVERYTHING, "Principal": "*"})
    deny = {**statement(chance, deny=1), "Principal": "*"}
    return tuple(
        (full, *((attached(chance, deny),) if chance.random() < 0.4 else ())) for _ in range(chance.randint(1, 3))
    )


def _endpoint(chance: random.Random, who: Principal) -> Attached:
    return attached(chance, *(resource_statement(chance, who) for _ in range(chance.randint(1, 2))))


LAYERS: dict[str, Callable[[random.Random, Principal], Any]] = {
    "boundary": lambda chance, _who: _narrow(chance),
    "session": lambda chance, _who: tuple(_narrow(chance) for _ in range(chance.randint(1, 2))),
    "service_control": _levels,
    "resource_control": _resource_levels,
    "endpoint": _endpoint,
}


def resource_policies(chance: random.Random) -> tuple[Question, Policies]:
    """The resource's policy names somebody; identity, boundary and session say yes, no or nothing."""
    who = chance.choice(INSIDERS)
    own = attached(chance, *(resource_statement(chance, who) for _ in range(chance.choice((1, 1, 2)))))
    resource = own if chance.random() < 0.9 else None
    account = chance.choice((HOME, HOME, AWAY))
    identity = chance.choice(((), (whole(chance),), (attached(chance, ELSEWHERE),), (policy(chance, conditions=0.1),)))
    boundary = chance.choice((None, None, whole(chance), attached(chance, ELSEWHERE)))
    session = chance.choice((None, None, (whole(chance),), (attached(chance, ELSEWHERE),)))
    if who.session is None or who.kind is PrincipalKind.USER:
        session = None
    if who.kind is PrincipalKind.ROOT:
        identity, boundary = (), None
    return _ask(chance, who, resource=resource, account=account), Policies(
        identity=identity, boundary=boundary, session=session
    )


def trust(chance: random.Random) -> tuple[Question, Policies]:
    """AssumeRole: a trust policy has no Resource, and without its word nothing is allowed."""
    who = chance.choice(INSIDERS)
    made = [resource_statement(chance, who, deny=0.15) for _ in range(chance.choice((1, 1, 2)))]
    for one in made:
        del one["Resource"]
        one["Action"] = some(chance, ("sts:AssumeRole", "sts:AssumeRole", "sts:*", "sts:TagSession"))
        if "NotPrincipal" in one:
            one["Principal"] = one.pop("NotPrincipal")
    identity = () if who.kind is PrincipalKind.ROOT or chance.random() < 0.4 else (whole(chance),)
    boundary = chance.choice((None, None, attached(chance, ELSEWHERE))) if who.kind is not PrincipalKind.ROOT else None
    account = chance.choice((HOME, AWAY))
    arn = f"arn:aws:iam::{account}:role/target"
    action = chance.choice(("sts:AssumeRole", "sts:AssumeRole", "sts:TagSession"))
    asked = _ask(chance, who, resource=attached(chance, *made), arn=arn, action=action, account=account)
    return asked, Policies(identity=identity, boundary=boundary)


def keys(chance: random.Random) -> tuple[Question, Policies]:
    """A KMS key's policy: identity policies of its account count only where it hands on to the account. Without a key, or about an
    alias, it is not asked for."""
    who = chance.choice((*INSIDERS, OUTSIDERS[0]))
    made = [resource_statement(chance, who, deny=0.15) for _ in range(chance.choice((1, 1, 2)))]
    for one in made:
        one["Action"] = some(chance, ("kms:*", "kms:Decrypt", "kms:De*", "kms:CreateKey"))
    account = chance.choice((HOME, HOME, HOME, AWAY))
    start = f"arn:aws:kms:us-east-1:{account}:"
    arn = chance.choice((f"{start}key/k", f"{start}key/k", f"{start}alias/k", "*"))
    identity = () if who.kind is PrincipalKind.ROOT or chance.random() < 0.3 else (whole(chance),)
    boundary = chance.choice((None, None, attached(chance, ELSEWHERE))) if who.kind is not PrincipalKind.ROOT else None
    own = attached(chance, *made) if arn.endswith("key/k") else None
    asked = _ask(
        chance, who, resource=own, arn=arn, action=chance.choice(("kms:Decrypt", "kms:CreateKey")), account=account
    )
    return asked, Policies(identity=identity, boundary=boundary)


def outsiders(chance: random.Random) -> tuple[Question, Policies]:
    """Services, strangers and holders of assertions have nothing but the resource's policy."""
    who = chance.choice(OUTSIDERS)
    own = attached(chance, *(resource_statement(chance, who) for _ in range(chance.choice((1, 2)))))
    rcps = _resource_levels(chance, who) if chance.random() < 0.3 else ()
    return _ask(chance, who, resource=own, account=HOME), Policies(resource_control=rcps)


def many(chance: random.Random) -> tuple[Question, Policies]:
    """Several resources, and a policy that allows some of them (IAM-25)."""
    asked = _ask(chance, INSIDERS[1], count=3, action="ec2:CreateSubnet")
    targets = tuple(replace(target, arn=chance.choice(ARNS[1:5])) for target in asked.targets)
    wide = {**EVERYTHING, "Resource": [chance.choice(ARN_PATTERNS) for _ in range(8)]}
    return replace(asked, targets=targets), Policies(identity=(attached(chance, wide), policy(chance, conditions=0.1)))


def anything(chance: random.Random) -> tuple[Question, Policies]:
    """All layers at random."""
    who = chance.choice(INSIDERS)
    own = attached(chance, *(resource_statement(chance, who) for _ in range(2))) if chance.random() < 0.5 else None
    layers: dict[str, Any] = {}
    for name, make in LAYERS.items():
        if chance.random() < 0.3:
            layers[name] = make(chance, who)
    if who.session is None or who.kind is PrincipalKind.USER:
        layers.pop("session", None)
    identity = (policy(chance), *((whole(chance),) if chance.random() < 0.5 else ()))
    if who.kind is PrincipalKind.ROOT:  # the root user can have neither
        identity = ()
        layers.pop("boundary", None)
    asked = _ask(chance, who, resource=own, account=chance.choice((HOME, AWAY)), count=chance.choice((1, 1, 2)))
    return asked, Policies(identity=identity, **layers)


THEMES: tuple[Callable[[random.Random], tuple[Question, Policies]], ...] = (
    identity, conditions, conditions, sets, resources, limits, resource_policies, trust, keys, outsiders, many, anything,
)  # fmt: skip


def case(seed: int) -> Case:
    """The case of this number."""
    chance = random.Random(seed)  # the same number is the same case
    theme = THEMES[seed % len(THEMES)]
    question, policies = theme(chance)
    return Case(theme.__name__, question, policies)

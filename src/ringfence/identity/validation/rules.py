"""What is looked for in a policy. Each rule yields findings; `validate` runs them all."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ringfence.identity.validation import conditions, names, variables
from ringfence.identity.validation.findings import Finding, finding
from ringfence.identity.validation.positions import Node, SyntaxFault, read
from ringfence.identity.validation.vocabulary import Vocabulary

IDENTITY, RESOURCE = "IDENTITY_POLICY", "RESOURCE_POLICY"
CONTROL = ("SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY")
TRUST = "AWS::IAM::AssumeRolePolicyDocument"
VERSIONS = ("2012-10-17", "2008-10-17")
_POLICY = {"Version": "String", "Id": "String", "Statement": None}
_STATEMENT = {
    "Sid": "String", "Effect": "String", "Principal": None, "NotPrincipal": None, "Action": None, "NotAction": None,
    "Resource": None, "NotResource": None, "Condition": "Object",
}  # fmt: skip
#: IAM User Guide, "IAM and AWS STS quotas": an identity policy without its white space; Organizations: an SCP, an RCP
_SIZES = {IDENTITY: 6144, "SERVICE_CONTROL_POLICY": 10240, "RESOURCE_CONTROL_POLICY": 5120}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is validated: the text, the type of the policy and of the resource that it is for."""

    text: str
    policy_type: str
    resource_type: str | None
    vocabulary: Vocabulary

    @property
    def trust(self) -> bool:
        return self.resource_type == TRUST


def validate(asked: Asked) -> list[Finding]:
    """All findings, in the order of the text."""
    try:
        policy = read(asked.text)
    except SyntaxFault as fault:
        at = min(fault.offset, len(asked.text))
        before = asked.text[:at]
        place = Node(None, at, min(at + 1, len(asked.text)), ())
        line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1)
        return [finding("JSON_SYNTAX_ERROR", place, index=at, line=line, column=column)]
    found = [*_policy(policy, asked)]
    for statement in _statements(policy):
        for rule in _RULES:
            found += rule(statement, policy, asked)
    return sorted(found, key=lambda one: (one.places[0].start, one.code))


def _statements(policy: Node) -> list[Node]:
    statement = policy.get("Statement")
    return [] if statement is None else [one for one in statement.items() if one.kind == "Object"]


# ------------------------------------------------------------------------------------------------------------ the policy
def _policy(policy: Node, asked: Asked) -> Iterator[Finding]:
    if policy.kind != "Object":
        yield finding("DATA_TYPE_MISMATCH", policy, data_type="Object")
        return
    yield from _elements(policy, _POLICY)
    version, statement = policy.get("Version"), policy.get("Statement")
    if version is None:
        yield finding("MISSING_VERSION", policy)
    elif version.kind == "String" and version.value not in VERSIONS:
        yield finding("INVALID_VERSION", version, version=version.value, versions=", ".join(VERSIONS))
    if statement is None or statement.value == []:
        yield finding("MISSING_STATEMENT", policy if statement is None else statement)
    else:
        for one in statement.items():
            if one.kind != "Object":
                yield finding("DATA_TYPE_MISMATCH", one, data_type="Object")
    yield from _sids(policy, asked)
    yield from _alike(policy)
    yield from _size(policy, asked)


def _elements(node: Node, allowed: dict[str, str | None]) -> Iterator[Finding]:
    for key, value in node.members():
        if key.value not in allowed:
            yield finding("INVALID_POLICY_ELEMENT", key, element=key.value)
        elif (wanted := allowed[key.value]) is not None and value.kind != wanted:
            yield finding("DATA_TYPE_MISMATCH", value, data_type=wanted)


def _sids(policy: Node, asked: Asked) -> Iterator[Finding]:
    sids = [
        sid for s in _statements(policy) if (sid := s.get("Sid")) is not None and sid.kind == "String" and sid.value
    ]
    often = [name for name, count in Counter(sid.value for sid in sids).items() if count > 1]
    code = "UNIQUE_SIDS_REQUIRED" if asked.policy_type != RESOURCE or asked.trust else "UNIQUE_SIDS_RECOMMENDED"
    for name in often:
        yield finding(code, *(sid for sid in sids if sid.value == name))


def _alike(policy: Node) -> Iterator[Finding]:
    """Statements that say the same, but for their names."""
    groups: dict[str, list[Node]] = {}
    for statement in _statements(policy):
        said = {name: _plain(value) for name, (_, value) in statement.value.items() if name != "Sid"}
        groups.setdefault(json.dumps(said, sort_keys=True), []).append(statement)
    for group in groups.values():
        if len(group) > 1:
            yield finding("REDUNDANT_STATEMENT", *group)


def _plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {name: _plain(value) for name, (_, value) in node.value.items()}
    if isinstance(node.value, list):
        return sorted((_plain(one) for one in node.value), key=lambda one: json.dumps(one, sort_keys=True))
    return node.value


def _size(policy: Node, asked: Asked) -> Iterator[Finding]:
    quota = _SIZES.get(asked.policy_type)
    size = len(re.sub(r"\s", "", asked.text)) if asked.policy_type == IDENTITY else len(asked.text)
    if quota is not None and size > quota:
        identity = asked.policy_type == IDENTITY
        code = "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA" if identity else "POLICY_SIZE_EXCEEDS_SCP_QUOTA"
        yield finding(code, policy, policySize=size, policySizeQuota=quota)


# --------------------------------------------------------------------------------------------------------- its statements
def _shape(statement: Node, _policy: Node, asked: Asked) -> Iterator[Finding]:
    yield from _elements(statement, _STATEMENT)
    for one, other in (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")):
        first, second = statement.key(one), statement.key(other)
        if first is not None and second is not None:
            yield finding("UNSUPPORTED_ELEMENT_COMBINATION", first, second, element1=one, element2=other)
    if statement.get("Action") is None and statement.get("NotAction") is None:
        yield finding("MISSING_ACTION", statement)
    has_resource = statement.get("Resource") is not None or statement.get("NotResource") is not None
    if not has_resource and asked.policy_type != RESOURCE:
        yield finding("MISSING_RESOURCE", statement)
    effect = statement.get("Effect")
    if effect is None:
        yield finding("MISSING_EFFECT", statement)
    elif effect.kind == "String" and effect.value not in ("Allow", "Deny"):
        yield finding("INVALID_EFFECT", effect, effect=effect.value)
    sid = statement.get("Sid")
    if sid is not None and sid.value == "":
        yield finding("EMPTY_SID_VALUE", sid)
    elif (
        sid is not None
        and sid.kind == "String"
        and asked.policy_type != RESOURCE
        and not re.fullmatch("[A-Za-z0-9]+", sid.value)
    ):
        yield finding("UNSUPPORTED_SID", sid)


def _lists(statement: Node, _policy: Node, _asked: Asked) -> Iterator[Finding]:
    for element, code in (
        ("Action", "ACTION"),
        ("NotAction", "ACTION"),
        ("Resource", "RESOURCE"),
        ("NotResource", "RESOURCE"),
    ):
        node = statement.get(element)
        if node is None:
            continue
        if node.value == []:
            yield finding(f"EMPTY_ARRAY_{code}", node)
        for one in node.items():
            if one.kind != "String":
                yield finding("DATA_TYPE_MISMATCH", one, data_type="String")


def _principals(statement: Node, _policy: Node, asked: Asked) -> Iterator[Finding]:
    element = statement.key("Principal") or statement.key("NotPrincipal")
    if asked.policy_type == RESOURCE:
        if element is None:
            yield finding("MISSING_PRINCIPAL", statement)
        else:
            yield from names.principals(statement, trust=asked.trust)
    elif asked.policy_type == "RESOURCE_CONTROL_POLICY":
        if element is None:
            yield finding("MISSING_PRINCIPAL", statement)
    elif element is not None and asked.policy_type == "SERVICE_CONTROL_POLICY":
        yield finding("SCP_SYNTAX_ERROR_PRINCIPAL", element)
    elif element is not None:
        yield finding("UNSUPPORTED_PRINCIPAL", element, policy_type=asked.policy_type)
    if asked.trust:
        for name in ("Resource", "NotResource"):
            if (key := statement.key(name)) is not None:
                yield finding("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", key)


def _named(statement: Node, _policy: Node, asked: Asked) -> Iterator[Finding]:
    yield from names.actions(statement, asked.vocabulary)
    yield from names.resources(statement, asked.vocabulary)
    if asked.policy_type in (IDENTITY, RESOURCE):
        yield from names.hand_over(statement)


def _conditions(statement: Node, _policy: Node, asked: Asked) -> Iterator[Finding]:
    yield from conditions.check(statement, asked.vocabulary)


def _variables(statement: Node, policy: Node, _asked: Asked) -> Iterator[Finding]:
    version = policy.get("Version")
    yield from variables.check(statement, modern=version is not None and version.value == "2012-10-17")


_RULES: tuple[Callable[[Node, Node, Asked], Iterator[Finding]], ...] = (
    _shape, _lists, _principals, _named, _conditions, _variables,
)  # fmt: skip

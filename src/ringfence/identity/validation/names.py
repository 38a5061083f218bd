"""Actions, resources and principals by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator

from ringfence.identity.validation.findings import Finding, finding
from ringfence.identity.validation.positions import Node
from ringfence.identity.validation.vocabulary import Vocabulary

PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc")
_KINDS = ("AWS", "Federated", "Service", "CanonicalUser")


def _like(pattern: str) -> Callable[[str], re.Match[str] | None]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(c) or re.escape(c) for c in pattern) + r"\Z", re.DOTALL).match


def _texts(statement: Node, *elements: str) -> list[Node]:
    nodes = [node for name in elements if (node := statement.get(name)) is not None]
    return [one for node in nodes for one in node.items() if one.kind == "String"]


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.75)
    return f" Did you mean {close[0]}?" if close else ""


# --------------------------------------------------------------------------------------------------------------- actions
def actions(statement: Node, vocabulary: Vocabulary) -> Iterator[Finding]:
    """Do they exist; are some said twice."""
    for node in _texts(statement, "Action", "NotAction"):
        service, colon, name = node.value.partition(":")
        if node.value == "*":
            continue
        if not colon or not name or not service:
            yield finding("INVALID_ACTION", node, action=node.value, hint="")
        elif "*" in service or "?" in service:
            yield finding("WILDCARD_IN_SERVICE_NAME", node)
        elif service.lower() not in vocabulary.actions:
            if vocabulary.complete:
                hint = _hint(service.lower(), list(vocabulary.actions))
                yield finding("INVALID_SERVICE_IN_ACTION", node, service=service, hint=hint)
        elif not any(map(_like(name.lower()), (a.lower() for a in vocabulary.actions[service.lower()]))):
            known = [f"{service.lower()}:{a}" for a in vocabulary.actions[service.lower()]]
            yield finding("INVALID_ACTION", node, action=node.value, hint=_hint(node.value, known))
    yield from _covered(statement, "Action", "REDUNDANT_ACTION", "redundantAction")
    yield from _covered(statement, "NotAction", "REDUNDANT_ACTION", "redundantAction")


def _covered(statement: Node, element: str, code: str, name: str) -> Iterator[Finding]:
    """Patterns that another pattern of the list includes."""
    nodes = _texts(statement, element)
    folded = [node.value.lower() if "Action" in element else node.value for node in nodes]
    extra = [
        node
        for i, node in enumerate(nodes)
        if any(
            j != i and _includes(other, folded[i]) and (other != folded[i] or j < i) for j, other in enumerate(folded)
        )
    ]
    if extra:
        yield finding(code, *extra, **{name: extra[0].value, name + "Count": len(extra)})


def _includes(wide: str, narrow: str) -> bool:
    """Certainly everything that is like `narrow` is like `wide`: a wildcard of `narrow` only meets a `*` of `wide`."""
    if "?" in wide and ("*" in narrow or "?" in narrow):
        return wide == narrow
    return _like(wide)(narrow) is not None


# ------------------------------------------------------------------------------------------------------------- resources
def resources(statement: Node, vocabulary: Vocabulary) -> Iterator[Finding]:
    """The six fields of an ARN."""
    for node in _texts(statement, "Resource", "NotResource"):
        if node.value != "*":
            yield from _arn(node, re.sub(r"\$\{[^}]*\}", "*", node.value).split(":", 5), vocabulary)
    yield from _covered(statement, "Resource", "REDUNDANT_RESOURCE", "redundantResource")


def _arn(node: Node, fields: list[str], vocabulary: Vocabulary) -> Iterator[Finding]:
    if fields[0] not in ("arn", "*"):
        yield finding("INVALID_ARN_PREFIX", node)
        return
    if len(fields) < 6:
        yield finding("MISSING_ARN_FIELD", node, fields=6)
        return
    _, partition, service, _region, account, _ = fields
    if not any(map(_like(partition), PARTITIONS)):
        yield finding("INVALID_PARTITION", node, service=service, partition=partition, partitions=", ".join(PARTITIONS))
    if service != service.lower():
        yield finding("INVALID_ARN_SERVICE_CASE", node, service=service)
    elif vocabulary.complete and "*" not in service and "?" not in service and service not in vocabulary.actions:
        yield finding("INVALID_SERVICE", node, service=service)
    if account not in ("", "aws") and not re.fullmatch(r"\d{12}|[\d*?]*[*?][\d*?]*", account):
        yield finding("INVALID_ARN_ACCOUNT", node, account=account)


# ----------------------------------------------------------------------------------------- handing over roles to services
_HANDED = {
    "PASS_ROLE": ("iam:passrole", "iam:passedtoservice"),
    "CREATE_SLR": ("iam:createservicelinkedrole", "iam:awsservicename"),
}


def hand_over(statement: Node) -> Iterator[Finding]:
    """`iam:PassRole` and `iam:CreateServiceLinkedRole` on more than named resources."""
    effect = statement.get("Effect")
    if effect is None or effect.value != "Allow":
        return
    for code, (action, key) in _HANDED.items():
        if not _has_key(statement, key):
            yield from _handed(statement, code, action)


def _handed(statement: Node, code: str, action: str) -> Iterator[Finding]:
    granted = [one for one in _texts(statement, "Action") if _like(one.value.lower())(action)]
    starred = [one for one in granted if "*" in one.value or "?" in one.value]
    apart = statement.get("NotAction")
    if apart is not None and any(_like(one.value.lower())(action) for one in _texts(statement, "NotAction")):
        return
    other = statement.get("NotResource")
    open_ = [one for one in _texts(statement, "Resource") if one.value == "*" or one.value.endswith((":role/*", ":*"))]
    if apart is not None and other is not None:
        yield finding(f"{code}_WITH_NOT_ACTION_AND_NOT_RESOURCE", apart, other)
    elif apart is not None and open_:
        yield finding(f"{code}_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION", apart, *open_)
    elif granted and other is not None:
        middle = "STAR_IN_ACTION_AND_NOT_RESOURCE" if len(starred) == len(granted) else "NOT_RESOURCE"
        yield finding(f"{code}_WITH_{middle}", *granted, other)
    elif granted and open_:
        middle = "STAR_IN_ACTION_AND_RESOURCE" if len(starred) == len(granted) else "STAR_IN_RESOURCE"
        yield finding(f"{code}_WITH_{middle}", *granted, *open_)


def _has_key(statement: Node, *names: str) -> bool:
    condition = statement.get("Condition")
    keys = [key.value.lower() for _, block in condition.members() for key, _ in block.members()] if condition else []
    return any(name in keys for name in names)


# ------------------------------------------------------------------------------------------------------------ principals
def principals(statement: Node, *, trust: bool) -> Iterator[Finding]:
    """The Principal or NotPrincipal of a resource policy."""
    element = "NotPrincipal" if statement.get("NotPrincipal") is not None else "Principal"
    node, key, effect = statement.get(element), statement.key(element), statement.get("Effect")
    if node is None or key is None:
        return
    allows = effect is not None and effect.value == "Allow"
    if element == "NotPrincipal" and trust:
        yield finding("ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL", key)
    elif element == "NotPrincipal" and allows:
        yield finding("ALLOW_WITH_NOT_PRINCIPAL", key)
    if node.kind != "Object":
        if node.value != "*":
            yield finding("INVALID_PRINCIPAL_FORMAT", node)
        elif trust and allows and statement.get("Condition") is None:
            yield finding("ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL", node)
        return
    if not node.members():
        yield finding("EMPTY_OBJECT_PRINCIPAL", node)
    for kind, values in node.members():
        if kind.value not in _KINDS:
            yield finding("INVALID_PRINCIPAL_KEY", kind, principal_key=kind.value)
        elif values.value == []:
            yield finding("EMPTY_ARRAY_PRINCIPAL", values)
        else:
            for one in values.items():
                yield from _principal(kind.value, one)
    if allows and node.get("Service") is not None and not trust and not _has_key(
        statement, "aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"
    ):  # fmt: skip
        yield finding("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", key)


def _principal(kind: str, node: Node) -> Iterator[Finding]:
    if node.kind != "String":
        yield finding("DATA_TYPE_MISMATCH", node, data_type="String")
        return
    text = node.value
    if ("*" in text or "?" in text) and not (kind == "AWS" and text == "*"):
        yield finding("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", node, principal_key=kind)
    elif kind == "Service" and not re.fullmatch(
        r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)", text
    ):
        yield finding("INVALID_SERVICE_PRINCIPAL_FORMAT", node, expectedFormat="service-name.amazonaws.com")
    elif kind == "AWS" and re.fullmatch(r"AROA[A-Z0-9]{12,}", text):
        yield finding("INVALID_ROLE_REFERENCE", node, roleid=text)
    elif kind == "AWS" and re.fullmatch(r"AIDA[A-Z0-9]{12,}", text):
        yield finding("INVALID_USER_REFERENCE", node, userid=text)
    elif kind == "AWS" and not re.fullmatch(r"\*|\d{12}|arn:[^:]+:(iam|sts)::\d{12}:.+|[0-9a-f]{64}", text):
        yield finding("INVALID_PRINCIPAL_FORMAT", node)

"""Policy documents: read and checked (IAM User Guide: "Grammar of the IAM JSON policy language", "IAM JSON policy
elements"; spec IAM-22, IAM-40).

`check` is for whoever stores a policy: it raises `PolicyError` with AWS's sentence and the place. `compiled.py` makes of a
document what the evaluator uses.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.identity import conditions, patterns
from ringfence.model.errors import ApiError, fault

NEWEST, OLDEST = "2012-10-17", "2008-10-17"


class DocumentKind(enum.StrEnum):
    """What a document is attached to."""

    MANAGED = "managed"  # a managed policy: identity policy, boundary or session policy
    IDENTITY = "identity"  # inline in a user, group or role
    SESSION = "session"  # given with AssumeRole and its like
    TRUST = "trust"  # who may assume a role
    RESOURCE = "resource"
    ENDPOINT = "endpoint"
    SERVICE_CONTROL = "service-control"
    RESOURCE_CONTROL = "resource-control"


class PolicyError(Exception):
    """A document that cannot be stored: AWS's sentence, and where in the document the fault is."""

    def __init__(self, message: str, place: str) -> None:
        super().__init__(f"{message} ({place})")
        self.message, self.place = message, place


_SYNTAX, _LEGACY = "Syntax errors in policy.", "The policy failed legacy parsing"
_VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
_IAM_PATHS = (
    "user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/",
    "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
)  # fmt: skip
_PARTITIONS = frozenset(
    {"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc", "*"}
)
_STATEMENT = frozenset({"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource",
                        "Condition"})  # fmt: skip
_PRINCIPALS = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})


@dataclass(frozen=True, slots=True)
class _Rules:
    """What differs between the kinds."""

    principal: bool = False  # required; False: forbidden
    not_principal: bool = False
    resource: bool = True  # required; False: forbidden
    newest: bool = False  # must be of version 2012-10-17
    sid: str = r".*"


_ALNUM = r"[0-9A-Za-z]*"
_RULES = {
    DocumentKind.MANAGED: _Rules(newest=True, sid=_ALNUM),
    DocumentKind.IDENTITY: _Rules(sid=_ALNUM),
    DocumentKind.SESSION: _Rules(sid=_ALNUM),
    DocumentKind.TRUST: _Rules(principal=True, resource=False),
    DocumentKind.RESOURCE: _Rules(principal=True, not_principal=True),
    DocumentKind.ENDPOINT: _Rules(principal=True, not_principal=True),
    DocumentKind.SERVICE_CONTROL: _Rules(sid=_ALNUM),
    DocumentKind.RESOURCE_CONTROL: _Rules(principal=True, sid=_ALNUM),
}


# ---------------------------------------------------------------------- reading
def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise PolicyError(_SYNTAX, f"the element {again[:64]!r} is given twice")
    return held


def _no_constants(name: str) -> Any:
    raise PolicyError(_SYNTAX, f"{name} is no JSON value")


def read(text: str) -> dict[str, Any]:
    """The JSON object of a text."""
    try:
        held = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except json.JSONDecodeError as problem:
        raise PolicyError(_SYNTAX, f"line {problem.lineno} column {problem.colno}: {problem.msg}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets without end
        raise PolicyError(_SYNTAX, "the text is not JSON of a sensible size") from None
    if not isinstance(held, dict):
        raise PolicyError(_SYNTAX, "the document is not an object")
    return held


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements_of(document: Mapping[str, Any]) -> list[Any]:
    return listed(document["Statement"]) if "Statement" in document else []


def texts(value: Any) -> list[str]:
    """Values of an element as texts: JSON booleans and numbers as they are written in policies."""
    return [_plain(item) for item in listed(value) if item is not None]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


# ---------------------------------------------------------------------- checking
_Place = str
_Placed = tuple[_Place, Mapping[str, Any]]


def check(text: str, kind: DocumentKind) -> None:
    """PolicyError unless the text may be stored as a policy of that kind. Faults are looked for in AWS's order."""
    rules, document = _RULES[kind], read(text)
    _check_top(document)
    statements = [(f"Statement[{n}]", one) for n, one in enumerate(statements_of(document))]
    if not statements:
        raise PolicyError(_SYNTAX, "Statement is missing or empty")
    for place, one in statements:
        _check_shape(place, one)
    if rules.newest and document.get("Version") != NEWEST:
        raise PolicyError("Policy document must be version 2012-10-17 or greater.", "Version")
    for step in (_check_legacy, _check_sids, _check_actions_given, _check_principals, _check_resources,
                 _check_actions, _check_resources_given, _check_kind):  # fmt: skip
        step(statements, rules, kind)


def malformed(text: str, kind: DocumentKind, code: str = "MalformedPolicyDocument") -> None:
    """`check` for an operation: ApiError with `code` and AWS's sentence; `detail` is the place."""
    try:
        check(text, kind)
    except PolicyError as problem:
        raise _fault(code, problem) from None


def _fault(code: str, problem: PolicyError) -> ApiError:
    return fault(code, message=problem.message, detail=problem.place)


def _check_top(document: Mapping[str, Any]) -> None:
    unknown = [name for name in document if name not in ("Version", "Id", "Statement")]
    if unknown:
        raise PolicyError(_SYNTAX, f"unknown element {unknown[0][:64]!r}")
    if document.get("Version", OLDEST) not in (OLDEST, NEWEST):
        raise PolicyError(_SYNTAX, "Version")
    if not isinstance(document.get("Id", ""), str):
        raise PolicyError(_SYNTAX, "Id")


def _check_shape(place: _Place, statement: Any) -> None:
    if not isinstance(statement, dict):
        raise PolicyError(_SYNTAX, f"{place} is not an object")
    unknown = [name for name in statement if name not in _STATEMENT]
    if unknown:
        raise PolicyError(_SYNTAX, f"{place}: unknown element {unknown[0][:64]!r}")
    for name in ("Action", "Resource", "Principal"):
        if name in statement and f"Not{name}" in statement:
            raise PolicyError(_SYNTAX, f"{place} has {name} and Not{name}")
    effect = statement.get("Effect")
    if not isinstance(effect, str) or effect.lower() not in ("allow", "deny"):
        raise PolicyError(_SYNTAX, f"{place}.Effect")
    if not isinstance(statement.get("Sid", ""), str):
        raise PolicyError(_SYNTAX, f"{place}.Sid")
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        if name in statement and not _strings(statement[name], null=name == "Resource"):
            raise PolicyError(_SYNTAX, f"{place}.{name}")
    if "Condition" in statement:
        _check_condition(f"{place}.Condition", statement["Condition"])


def _strings(value: Any, *, null: bool) -> bool:
    """One string, or a list of them. AWS: a null in a list of resources is passed over."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) or (null and item is None) for item in value)
    )


def _check_condition(place: _Place, condition: Any) -> None:
    if not isinstance(condition, dict):
        raise PolicyError(_SYNTAX, place)
    for operator, keys in condition.items():
        here = f"{place}.{operator[:64]}"
        if not isinstance(keys, dict):
            raise PolicyError(_SYNTAX, here)
        if keys and conditions.read_name(operator) is None:  # AWS: an operator without keys is passed over
            raise PolicyError(_SYNTAX, f"{here}: no such operator")
        for key, values in keys.items():
            if not all(isinstance(value, str | bool | int | float) for value in listed(values)):
                raise PolicyError(_SYNTAX, f"{here}.{key[:128]}")


def _check_legacy(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    """The faults AWS's oldest parser finds: letter case, values that are no number or date, ARNs with a field missing."""
    for place, statement in statements:
        if statement["Effect"] not in ("Allow", "Deny"):
            raise PolicyError(_LEGACY, f"{place}.Effect")
        for operator, key, values in conditions_of(statement):
            name = conditions.read_name(operator)
            if name is not None and not all(conditions.well_formed(name, value) for value in values):
                raise PolicyError(_LEGACY, f"{place}.Condition.{operator}.{key[:128]}")
    found = [(place, resource) for place, resource in _resources(statements)]
    if any(_resource_fault(resource) for _, resource in found):
        return  # reported later, in its own words
    for place, resource in found:
        if resource != "*" and (resource.count(":") in (3, 4) or not resource.split(":")[2]):
            raise PolicyError(_LEGACY, place)  # AWS stores `arn:aws:service`, which matches nothing


def conditions_of(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            yield operator, key, texts(values)


def _resources(statements: Sequence[_Placed]) -> Iterator[tuple[_Place, str]]:
    for place, statement in statements:
        for name in ("Resource", "NotResource"):
            for resource in texts(statement.get(name, [])):
                yield f"{place}.{name}", resource


def _resource_fault(resource: str) -> str | None:
    """What AWS says about a resource that is no ARN."""
    if resource == "*":
        return None
    first, *rest = resource.split(":")
    if not rest:
        return f'Resource {resource} must be in ARN format or "*".'
    partition, *fields = rest
    if partition not in _PARTITIONS:
        service, region, account, *more = [*fields, *["*"] * (3 - len(fields))]
        service = service if service or len(fields) > 1 else "*"
        whole = ":".join((partition, service, region, account, ":".join(more) if more else "*"))
        return f'Partition "{partition}" is not valid for resource "arn:{whole}".'
    if first != "arn":
        return f'Resource {resource} must be in ARN format or "*".'
    if not fields or "*" in fields[0] or "?" in fields[0]:
        return "Resource vendor must be fully qualified and cannot contain regexes."
    return _service_fault(resource, fields)


def _service_fault(resource: str, fields: Sequence[str]) -> str | None:
    """IAM's and S3's own rules about their ARNs; `fields` from the service on."""
    if len(fields) < 4:
        return None
    service, region, path = fields[0], fields[1], ":".join(fields[3:])
    if service == "iam" and region:
        return f"IAM resource {resource} cannot contain region information."
    if service == "s3" and region and not path.startswith(("accesspoint/", "accesspoint*")) and "*" not in region:
        return f"Resource {resource} can not contain region information."
    if service == "iam" and not path.startswith((*_IAM_PATHS, "*", "root")) and not _may_become(path, _IAM_PATHS):
        return f'IAM resource path must either be "*" or start with {", ".join(_IAM_PATHS)}.'
    return None


def _may_become(path: str, starts: Sequence[str]) -> bool:
    """A wildcard before the first slash: `user*`, `ro?e/x`."""
    head = path.partition("/")[0]
    return patterns.has_wildcards(head) and any(
        patterns.glob(head, variables=False)(start.rstrip("/"), {}) for start in starts
    )


def _check_sids(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    seen: set[str] = set()
    for place, statement in statements:
        sid = statement.get("Sid")
        if not sid:
            continue
        if not re.fullmatch(rules.sid, sid, re.DOTALL):
            text = f"Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression {_ALNUM}"
            raise PolicyError(text, f"{place}.Sid")
        if sid in seen:
            raise PolicyError("Statement IDs (SID) in a single policy must be unique.", f"{place}.Sid")
        seen.add(sid)


def _check_actions_given(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    for place, statement in statements:
        if not (statement.get("Action") or statement.get("NotAction")) and "" not in (
            statement.get("Action"), statement.get("NotAction")
        ):  # fmt: skip
            raise PolicyError("Policy statement must contain actions.", place)


def _check_resources(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    for place, resource in _resources(statements):
        problem = _resource_fault(resource)
        if problem is not None:
            raise PolicyError(problem, place)


def _check_actions(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    for place, statement in statements:
        for name in ("Action", "NotAction"):
            for action in texts(statement.get(name, [])):
                problem = _action_fault(action)
                if problem is not None:
                    raise PolicyError(problem, f"{place}.{name}")


def _action_fault(action: str) -> str | None:
    vendor, colon, rest = action.partition(":")
    if not colon:
        return None if action == "*" else _VENDOR
    if ":" in rest:
        return "Actions/Condition can contain only one colon."
    if vendor != "*" and not re.fullmatch(r"[A-Za-z0-9.-]+", vendor):
        return f"Vendor {vendor} is not valid"
    return None


def _check_resources_given(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    for place, statement in statements:
        has = "Resource" in statement or "NotResource" in statement
        if not rules.resource and has:
            name = "Resource" if "Resource" in statement else "NotResource"
            raise PolicyError(f"Has prohibited field {name}", f"{place}.{name}")
        if rules.resource and not texts(statement.get("Resource", statement.get("NotResource", []))):
            raise PolicyError("Policy statement must contain resources.", place)


def _check_principals(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    for place, statement in statements:
        for name in ("Principal", "NotPrincipal"):
            if name in statement and not rules.principal:
                raise PolicyError("Policy document should not specify a principal.", f"{place}.{name}")
        if "NotPrincipal" in statement and not rules.not_principal:
            raise PolicyError("Has prohibited field NotPrincipal", f"{place}.NotPrincipal")
        if rules.principal and "Principal" not in statement and "NotPrincipal" not in statement:
            raise PolicyError("Missing required field Principal", place)
        for name in ("Principal", "NotPrincipal"):
            if name in statement:
                _check_principal(f"{place}.{name}", statement[name])


def _check_principal(place: _Place, principal: Any) -> None:
    if principal == "*":
        return
    if not isinstance(principal, dict) or not principal:
        raise PolicyError("Invalid principal in policy.", place)
    for type, values in principal.items():
        if type not in _PRINCIPALS:
            raise PolicyError(_SYNTAX, f"{place}: unknown element {type[:64]!r}")
        if not _strings(values, null=False) or values in ([], ""):
            raise PolicyError(_SYNTAX, f"{place}.{type}")
        for value in listed(values):
            if not _PRINCIPAL_FORMS[type].fullmatch(value):
                raise PolicyError(f'Invalid principal in policy: "{type.upper()}":"{value}"', f"{place}.{type}")


_PRINCIPAL_FORMS = {
    "AWS": re.compile(
        r"\*|[0-9]{12}|A[A-Z0-9]{15,127}|arn:aws[a-z-]*:iam::[0-9]{12}:(root|(user|role)/[^*?]+)"
        r"|arn:aws[a-z-]*:sts::[0-9]{12}:(assumed-role/[^*?/]+|federated-user)/[^*?]+"
    ),
    "Service": re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)"),
    "Federated": re.compile(r"\*|arn:aws[a-z-]*:iam::[0-9]{12}:(oidc-provider|saml-provider)/[^*?]+|[a-z0-9.-]+(/.*)?"),
    "CanonicalUser": re.compile(r"[0-9a-f]{64}"),
}


def _check_kind(statements: Sequence[_Placed], rules: _Rules, kind: DocumentKind) -> None:
    """What only one kind forbids."""
    for place, statement in statements:
        if kind is DocumentKind.TRUST:
            actions = texts(statement.get("Action", statement.get("NotAction")))
            if "NotAction" in statement or not all(action.lower().startswith("sts:") for action in actions):
                raise PolicyError("AssumeRole policy may only specify STS AssumeRole actions.", f"{place}.Action")
        if kind is DocumentKind.RESOURCE_CONTROL and statement.get("Principal") not in ("*", {"AWS": "*"}):
            raise PolicyError('The Principal of a resource control policy must be "*".', f"{place}.Principal")

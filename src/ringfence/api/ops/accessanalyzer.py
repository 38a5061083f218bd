"""IAM Access Analyzer's questions about policies (API Reference: ValidatePolicy, CheckNoNewAccess, CheckAccessNotGranted,
CheckNoPublicAccess; IAM-40). They read nothing but their parameters.

A check that fails names the statements and, for each, a request that shows it; where it could not be decided it says what
is in the way (`identity/analysis/checks.py`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.identity import actions
from ringfence.identity.analysis import checks
from ringfence.identity.analysis.checks import Failure
from ringfence.identity.analysis.engine import Engine, evaluator
from ringfence.identity.document import DocumentKind, PolicyError, check
from ringfence.identity.question import Question
from ringfence.identity.validation.rules import CONTROL, IDENTITY, RESOURCE, TRUST, Asked, validate
from ringfence.identity.validation.vocabulary import Vocabulary
from ringfence.model.errors import ApiError, fault
from ringfence.model.world import World

_PAGE = 100
_VOCABULARY = Vocabulary(actions=actions.ACTIONS, complete=True, keys=actions.KEY_TYPES)
_KINDS = {IDENTITY: DocumentKind.MANAGED, RESOURCE: DocumentKind.RESOURCE, TRUST: DocumentKind.TRUST}


def _invalid(message: str) -> ApiError:
    return fault("ValidationException", message=message)


def _one_of(name: str, value: Any, allowed: Collection[str]) -> str:
    if value not in allowed:
        raise _invalid(f"Invalid value for {name}: it must be one of {', '.join(sorted(allowed))}")
    return str(value)


# ------------------------------------------------------------------------------------------------------------- validation
@operation("access-analyzer:ValidatePolicy", mutating=False)
def validate_policy(call: Call, world: World, params: Params) -> Outcome:
    """All findings about a policy, a page at a time. ValidationException."""
    kind = _one_of("policyType", params.get("policyType"), (IDENTITY, RESOURCE, *CONTROL))
    text = params.get("policyDocument") or ""
    resource_type = params.get("validatePolicyResourceType")
    if resource_type is not None and kind != RESOURCE:
        raise _invalid("validatePolicyResourceType is only for policies of the type RESOURCE_POLICY")
    start, size = _start(params.get("nextToken")), params.get("maxResults") or _PAGE
    if not 1 <= size <= 1000:
        raise _invalid("maxResults must be between 1 and 1000")
    found = validate(Asked(text, kind, resource_type, _VOCABULARY))
    reply: dict[str, Any] = {"findings": [one.as_reply(text) for one in found[start : start + size]]}
    if start + size < len(found):
        reply["nextToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return Outcome(reply)


def _start(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token.encode("ascii", "replace")).decode("ascii"))
    except (ValueError, binascii.Error):
        raise _invalid("The nextToken is not valid") from None


# ----------------------------------------------------------------------------------------------------------------- checks
def _engine() -> Engine:
    return evaluator(actions.ACTIONS)


def _readable(name: str, text: Any, kind: str) -> str:
    """A policy that can be compared. InvalidParameterException with what is wrong with it, and where."""
    try:
        check(text or "", _KINDS[kind])
    except PolicyError as problem:
        raise fault(
            "InvalidParameterException", message=f"The {name} is not valid: {problem.message} ({problem.place})"
        ) from problem
    return str(text)


def _reply(failures: Sequence[Failure], failed: str, passed: str, description: str) -> Outcome:
    if not failures:
        return Outcome({"result": "PASS", "message": passed})
    return Outcome({"result": "FAIL", "message": failed, "reasons": [_reason(one, description) for one in failures]})


def _reason(failure: Failure, description: str) -> Mapping[str, Any]:
    place = f"index: {failure.statement}" if failure.sid is None else f"SID: {failure.sid}"
    if failure.witness is None:
        text = f"{description} {place}, or so it must be assumed: {failure.why} cannot be compared."
    else:
        text = f"{description} {place}. For example, {_shown(failure.witness)}."
    reason: dict[str, Any] = {"description": text, "statementIndex": failure.statement}
    return reason if failure.sid is None else {**reason, "statementId": failure.sid}


def _shown(question: Question) -> str:
    """A request in words."""
    who = question.principal.arn or "anybody, without credentials,"
    keys = [f"{key} = {_value(value)}" for key, value in sorted(question.context.items())]
    when = f" when {', '.join(keys)}" if keys else ""
    return f"{who} may {question.action} on {question.targets[0].arn}{when}"


def _value(value: str | tuple[str, ...]) -> str:
    return f"'{value}'" if isinstance(value, str) else "[" + ", ".join(f"'{one}'" for one in value) + "]"


@operation("access-analyzer:CheckNoNewAccess", mutating=False)
def check_no_new_access(call: Call, world: World, params: Params) -> Outcome:
    """Whether a changed policy allows what the existing one does not. ValidationException, InvalidParameterException."""
    kind = _one_of("policyType", params.get("policyType"), (IDENTITY, RESOURCE))
    new = _readable("newPolicyDocument", params.get("newPolicyDocument"), kind)
    old = _readable("existingPolicyDocument", params.get("existingPolicyDocument"), kind)
    return _reply(
        checks.new_access(_engine(), new, old, named=kind == RESOURCE),
        "The modified permissions grant new access compared to your existing policy.",
        "The modified permissions do not grant new access compared to your existing policy.",
        "New access in the statement with",
    )


@operation("access-analyzer:CheckAccessNotGranted", mutating=False)
def check_access_not_granted(call: Call, world: World, params: Params) -> Outcome:
    """Whether a policy allows any of these actions on any of these resources. ValidationException, InvalidParameterException."""
    kind = _one_of("policyType", params.get("policyType"), (IDENTITY, RESOURCE))
    access: Sequence[Mapping[str, Any]] = params.get("access") or ()
    if len(access) != 1:
        raise _invalid("access must have exactly one element")
    named, resources = list(access[0].get("actions") or ()), list(access[0].get("resources") or ())
    if not named and not resources:
        raise _invalid("access must name at least one action or one resource")
    if len(named) > 100 or len(resources) > 100:
        raise _invalid("access may name at most 100 actions and 100 resources")
    policy = _readable("policyDocument", params.get("policyDocument"), kind)
    return _reply(
        checks.access_granted(_engine(), policy, named, resources, named=kind == RESOURCE),
        "The policy document grants access to perform one or more of the listed actions or resources.",
        "The policy document does not grant access to perform the listed actions or resources.",
        "One or more of the listed actions or resources in the statement with",
    )


@operation("access-analyzer:CheckNoPublicAccess", mutating=False)
def check_no_public_access(call: Call, world: World, params: Params) -> Outcome:
    """Whether a resource's policy lets strangers in. ValidationException, InvalidParameterException."""
    resource_type = params.get("resourceType")
    if not isinstance(resource_type, str) or not resource_type.startswith("AWS::"):
        raise _invalid("resourceType must be a type of resource, such as AWS::S3::Bucket")
    kind = TRUST if resource_type == TRUST else RESOURCE
    policy = _readable("policyDocument", params.get("policyDocument"), kind)
    return _reply(
        checks.public_access(_engine(), policy),
        "The resource policy grants public access for the given resource type.",
        "The resource policy does not grant public access for the given resource type.",
        "Public access granted in the statement with",
    )

"""The decision (IAM User Guide: "Policy evaluation logic", "How AWS enforcement code logic evaluates requests to allow
or deny access", "Session policies"; spec IAM-14 … IAM-20).

In this order: an explicit deny anywhere; resource control policies; service control policies, every level; the endpoint's
policy; the resource's policy; identity policies AND permissions boundary AND session policies.

What a resource's policy grants within the account (AWS, same page): a user's or session's own ARN, and `*`, are not limited
by an implicit deny of identity policy, boundary or session policy; a role's ARN replaces the identity policy but stays
within boundary and session policy, and so does the ARN of the user behind a federated session; the account's ARN hands
the decision to the identity policies. Across accounts both sides must allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ringfence.identity.compiled import Match, Statement, compiled
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import (
    Attached,
    Context,
    Decision,
    Effect,
    Layer,
    Policies,
    Question,
    Reason,
    Target,
)

#: AWS STS API Reference, GetCallerIdentity: allowed even with an explicit deny
UNDENIABLE = frozenset({"sts:getcalleridentity"})
#: the trust policy must allow these, identity policies are not enough
_BY_TRUST = frozenset({"sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity"})
#: likewise when they are asked about a role
_WITH_TRUST = frozenset({"sts:tagsession", "sts:setsourceidentity", "sts:setcontext"})
#: only a resource's policy can let these in: no account stands behind them
_WITHOUT_IDENTITY = frozenset(
    {PrincipalKind.SERVICE, PrincipalKind.WEB_IDENTITY, PrincipalKind.SAML, PrincipalKind.ANONYMOUS}
)
_Matched = list[tuple[Attached, Statement]]


class _Found:
    """What the policies of a layer (or of one level of it) say."""

    __slots__ = ("allowed", "denied", "layer", "match")

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.denied: _Matched = []
        self.allowed: _Matched = []
        self.match: Match | None = None  # of a resource's policy: the closest grant


def decide(question: Question, policies: Policies) -> Decision:
    """The answer, with the statements that decided. Without targets nothing is allowed."""
    action = question.action.lower()
    if action in UNDENIABLE:
        return Decision(effect=Effect.ALLOWED, target="*", layer=Layer.IDENTITY)
    decision = Decision(effect=Effect.IMPLICIT_DENY, target="*", layer=Layer.IDENTITY)
    for target in question.targets:
        context = {**question.context, **target.context} if target.context else question.context
        decision = _about(question.principal, action, target, context, policies)
        if not decision.allowed:
            break
    return decision


def _about(caller: Principal, action: str, target: Target, context: Context, policies: Policies) -> Decision:
    layers = list(_layers(caller, action, target, context, policies))
    for found in layers:
        if found.denied:
            return _decision(Effect.EXPLICIT_DENY, target, found.layer, found.denied)
    held = {found.layer: found for found in layers}
    for found in layers:
        if found.layer in _GATES and not found.allowed:
            return _decision(Effect.IMPLICIT_DENY, target, found.layer)
    return _granted(caller, action, target, held)


_GATES = frozenset({Layer.RESOURCE_CONTROL, Layer.SERVICE_CONTROL, Layer.ENDPOINT})


def _layers(
    caller: Principal, action: str, target: Target, context: Context, policies: Policies
) -> Iterator[_Found]:  # fmt: skip
    """Every policy that has a say, in the order of `Layer`."""
    arn = target.arn
    if not _service_linked(caller):
        for level in policies.resource_control:
            yield _ask(Layer.RESOURCE_CONTROL, level, action, arn, context)
        for level in policies.service_control if caller.kind not in _WITHOUT_IDENTITY else ():
            yield _ask(Layer.SERVICE_CONTROL, level, action, arn, context)
    if policies.endpoint is not None:
        yield _ask_resource(Layer.ENDPOINT, policies.endpoint, caller, action, arn, context, policies)
    if target.policy is not None:
        yield _ask_resource(Layer.RESOURCE, target.policy, caller, action, arn, context, policies)
    if caller.kind in _WITHOUT_IDENTITY:
        return
    if not caller.is_root:
        yield _ask(Layer.IDENTITY, policies.identity, action, arn, context)
        if policies.boundary is not None:
            yield _ask(Layer.BOUNDARY, (policies.boundary,), action, arn, context)
    if policies.session is not None or caller.kind is PrincipalKind.FEDERATED:
        # AWS ("Permissions for GetFederationToken"): without a session policy the credentials have no permissions
        yield _ask(Layer.SESSION, policies.session or (), action, arn, context)


def _service_linked(caller: Principal) -> bool:
    """AWS: neither SCPs nor RCPs bind service-linked roles."""
    issuer = caller.session.issuer_arn if caller.session is not None else None
    return issuer is not None and ":role/aws-service-role/" in issuer


def _ask(layer: Layer, attached: Iterable[Attached], action: str, arn: str, context: Context) -> _Found:
    found = _Found(layer)
    for policy in attached:
        for statement in compiled(policy.text).about(action):
            if statement.holds(arn, context):
                (found.allowed if statement.allows else found.denied).append((policy, statement))
    return found


def _ask_resource(
    layer: Layer, policy: Attached, caller: Principal, action: str, arn: str, context: Context, policies: Policies
) -> _Found:  # fmt: skip
    """A policy with principals. An endpoint's without the element is for everybody; a resource's grants nothing then."""
    found = _Found(layer)
    boundary = policies.boundary is not None
    for statement in compiled(policy.text).about(action):
        test = statement.principal
        match = test(caller, boundary) if test is not None else Match.ANY if layer is Layer.ENDPOINT else None
        if layer is Layer.ENDPOINT and match is Match.ACCOUNT and statement.allows and not caller.is_root:
            continue  # AWS PrivateLink Guide, "Gateway endpoints": the account is its root user alone (VPE-10)
        if match is None or not statement.holds(arn, context):
            continue
        (found.allowed if statement.allows else found.denied).append((policy, statement))
        if statement.allows:
            found.match = match if found.match is None else max(found.match, match)
    return found


# ---------------------------------------------------------------------- who grants
def _granted(caller: Principal, action: str, target: Target, held: dict[Layer, _Found]) -> Decision:
    """The decision once nothing denies and no organization or endpoint stands in the way."""
    resource = held.get(Layer.RESOURCE)
    match = resource.match if resource is not None else None
    alone = caller.kind in _WITHOUT_IDENTITY
    same = caller.account_id == target.account_id
    if match is None and (alone or not same or _must_trust(action, target)):
        return _decision(Effect.IMPLICIT_DENY, target, Layer.RESOURCE)
    if resource is not None and match is not None and (alone or (same and match >= Match.ANY)):
        return _decision(Effect.ALLOWED, target, Layer.RESOURCE, resource.allowed)
    by_role = same and match is Match.ROLE
    for layer in _LIMITS:
        found = held.get(layer)
        if found is None or found.allowed or (layer is Layer.IDENTITY and by_role):
            continue
        return _decision(Effect.IMPLICIT_DENY, target, layer)
    if by_role and resource is not None:
        return _decision(Effect.ALLOWED, target, Layer.RESOURCE, resource.allowed)
    if caller.is_root:
        return _decision(Effect.ALLOWED, target, Layer.ROOT)
    return _decision(Effect.ALLOWED, target, Layer.IDENTITY, held[Layer.IDENTITY].allowed)


_LIMITS = (Layer.IDENTITY, Layer.BOUNDARY, Layer.SESSION)


def _must_trust(action: str, target: Target) -> bool:
    """Trust policies, and the policies of KMS keys (AWS KMS Developer Guide, "Key policies": without permission from the key
    policy, IAM policies that allow have no effect); what is about no key in particular, or about an alias, has none."""
    if action.startswith("kms:"):
        return _is_key(target.arn)
    return action in _BY_TRUST or (action in _WITH_TRUST and target.policy is not None)


def _is_key(arn: str) -> bool:
    parts = arn.split(":", 5)
    return len(parts) == 6 and parts[2] == "kms" and parts[5].startswith("key/")


def _decision(
    effect: Effect, target: Target, layer: Layer, matched: Iterable[tuple[Attached, Statement]] = ()
) -> Decision:
    reasons = tuple(
        Reason(layer=layer, policy=policy.name, statement=one.position, sid=one.sid) for policy, one in matched
    )
    return Decision(effect=effect, target=target.arn, layer=layer, reasons=reasons)

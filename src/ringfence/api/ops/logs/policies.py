"""Resource policies (CloudWatch Logs API Reference: PutResourcePolicy, DescribeResourcePolicies, DeleteResourcePolicy).

Only those of the account: a policy attached to one log group is refused.
"""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs.serve import invalid, logs, milliseconds, page
from ringfence.identity.document import DocumentKind, malformed
from ringfence.model.errors import fault
from ringfence.model.kinds import LOG_RESOURCE_POLICY
from ringfence.model.nouns.log import LogResourcePolicy
from ringfence.model.world import World, delete, put

MAX_DOCUMENT = 5120


@logs("PutResourcePolicy")
def put_resource_policy(call: Call, world: World, params: Params) -> Outcome:
    """New, or in place of the one of that name. InvalidParameterException, LimitExceededException."""
    _refuse_of_a_group(params)
    name, document = params.get("policyName"), params.get("policyDocument")
    if not name or document is None:
        raise invalid("policyName and policyDocument are required.")
    if len(document) > MAX_DOCUMENT:
        raise invalid(f"A resource policy can have at most {MAX_DOCUMENT} characters.")
    malformed(document, DocumentKind.RESOURCE, "InvalidParameterException")
    mine = call.mine(world, LOG_RESOURCE_POLICY)
    id = _id(call, name)
    if all(policy.id != id for policy in mine):
        call.check_quota("log-resource-policies", len(mine) + 1)
    policy = LogResourcePolicy(id=id, **call.owned(), name=name, document=document, updated=milliseconds(call))
    return Outcome({"resourcePolicy": _view(policy)}, put(LOG_RESOURCE_POLICY, policy))


@logs("DeleteResourcePolicy")
def delete_resource_policy(call: Call, world: World, params: Params) -> Outcome:
    """ResourceNotFoundException."""
    _refuse_of_a_group(params)
    name = params.get("policyName")
    found = world.find(LOG_RESOURCE_POLICY, _id(call, name)) if name else None
    if found is None:
        text = f"Policy with name [{str(name)[:200]}] does not exist"
        raise fault("ResourceNotFoundException", message=text)
    return Outcome({}, delete(LOG_RESOURCE_POLICY, found.id))


@logs("DescribeResourcePolicies")
def describe_resource_policies(call: Call, world: World, params: Params) -> Outcome:
    _refuse_of_a_group(params)
    if params.get("policyScope") == "RESOURCE":
        return Outcome({"resourcePolicies": []})
    policies = sorted(call.mine(world, LOG_RESOURCE_POLICY), key=lambda policy: policy.name)
    shown, token = page(policies, lambda policy: policy.name, params)
    return Outcome({"resourcePolicies": [_view(policy) for policy in shown], **token})


def _refuse_of_a_group(params: Params) -> None:
    for name in ("resourceArn", "expectedRevisionId"):
        if params.get(name):
            text = f"{name}: resource policies of a single log group are not served by this installation"
            raise fault("UnsupportedOperation", message=text)


def _id(call: Call, name: str) -> str:
    return f"{call.account_id}/{call.region}/{name}"


def _view(policy: LogResourcePolicy) -> dict[str, Any]:
    return {
        "policyName": policy.name, "policyDocument": policy.document, "lastUpdatedTime": policy.updated,
        "policyScope": "ACCOUNT",
    }  # fmt: skip

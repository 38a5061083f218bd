"""AWS STS operations that need no identities beyond the caller's own."""

from __future__ import annotations

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.model.world import World


@operation("sts:GetCallerIdentity")
def get_caller_identity(call: Call, world: World, params: Params) -> Outcome:
    """Who the credentials belong to; allowed to everyone who can sign."""
    who = call.principal
    return Outcome({"UserId": who.user_id, "Account": who.account_id, "Arn": who.arn})

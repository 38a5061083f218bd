"""What STS's calls ask of the policies: the context of the request, and the policies that apply to the caller."""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.authorise.request import request_context
from ringfence.api.ops.context import Call
from ringfence.identity.gather import policies_of
from ringfence.identity.organization import organization_levels
from ringfence.identity.principal import Principal
from ringfence.identity.question import Context
from ringfence.identity.roles import check
from ringfence.model.nouns.identity import Role
from ringfence.model.world import World


def ask(call: Call, world: World, who: Principal, role: Role, actions: list[str], context: Context) -> None:
    """NotAllowed unless `who` may do every action to the role; `context` is laid over the keys of the request."""
    asked = replace(call, principal=who)
    organization = organization_levels(world, who.account_id)
    whole = {**request_context(asked, organization), **context}
    check(world, who, role, actions, whole, policies_of(world, who, role.owner_id))

"""What an account has chosen for a Region."""

from __future__ import annotations

from ringfence.api.ops.context import Call
from ringfence.model.kinds import REGION
from ringfence.model.nouns.network import RegionState
from ringfence.model.world import World


def region_state(call: Call, world: World) -> RegionState:
    """The row that is there, or one of the defaults."""
    id = f"{call.account_id}/{call.region}"
    return world.find(REGION, id) or RegionState(id=id, **call.owned())

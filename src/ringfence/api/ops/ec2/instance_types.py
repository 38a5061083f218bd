"""Instance types: those the EC2 model knows. An instance here is a sandbox whatever its type, so every type that
RunInstances takes is offered in every zone (Amazon EC2 API Reference: DescribeInstanceTypeOfferings)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.registry import operation
from ringfence.api.wire import model
from ringfence.model.errors import fault
from ringfence.model.regions import REGIONS
from ringfence.model.row import Tags
from ringfence.model.world import World


@cache
def instance_types() -> dict[str, None]:
    """Names in the model's order."""
    found: Any = model.operation("ec2", "RunInstances")
    return dict.fromkeys(found.input_shape.members["InstanceType"].enum)


@dataclass(frozen=True, slots=True)
class _Offering:
    """A type at a place; has no tags."""

    type: str
    location: str
    tags: Tags = ()

    @property
    def id(self) -> str:
        return f"{self.location}/{self.type}"

    def tag(self, key: str) -> str | None:
        return None


_FILTERS: dict[str, Values] = {
    "instance-type": lambda _, offering: (offering.type,),
    "location": lambda _, offering: (offering.location,),
}


def _locations(call: Call, kind: str) -> Iterator[str]:
    region = REGIONS[call.region]
    if kind == "region":
        yield region.name
    elif kind == "availability-zone":
        yield from (zone.name for zone in region.zones)
    elif kind == "availability-zone-id":
        yield from (zone.id for zone in region.zones)
    else:
        raise fault("UnsupportedOperation", message=f"LocationType {kind} is not supported by this installation")


@operation("ec2:DescribeInstanceTypeOfferings")
def describe_instance_type_offerings(call: Call, world: World, params: Params) -> Outcome:
    """Per Region, zone or zone id."""
    kind = params.get("LocationType") or "region"
    offered = [_Offering(type, location) for location in _locations(call, kind) for type in instance_types()]
    shown, token = page(apply_filters(world, offered, params.get("Filters") or (), _FILTERS), params)
    items = [{"InstanceType": item.type, "LocationType": kind, "Location": item.location} for item in shown]
    return Outcome({"InstanceTypeOfferings": items} | ({"NextToken": token} if token else {}))

"""Regions, Availability Zones and account attributes (Amazon EC2 API Reference)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters
from ringfence.api.ops.ec2.security_groups import default_vpc
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.regions import REGIONS, Region, Zone
from ringfence.model.row import Tags
from ringfence.model.world import World


@dataclass(frozen=True, slots=True)
class _Listed:
    """A Region or zone in a filterable list; neither has tags."""

    region: Region
    zone: Zone | None = None
    tags: Tags = ()

    @property
    def id(self) -> str:
        return self.zone.id if self.zone else self.region.name

    def tag(self, key: str) -> str | None:
        return None


_REGION_FILTERS: dict[str, Values] = {
    "region-name": lambda _, item: (item.region.name,),
    "endpoint": lambda _, item: (_endpoint(item.region),),
    "opt-in-status": lambda _, item: (item.region.opt_in_status,),
}
_ZONE_FILTERS: dict[str, Values] = {
    "zone-name": lambda _, item: (item.zone.name,),
    "zone-id": lambda _, item: (item.zone.id,),
    "zone-type": lambda _, item: ("availability-zone",),
    "state": lambda _, item: ("available",),
    "region-name": lambda _, item: (item.region.name,),
    "group-name": lambda _, item: (_group(item.region),),
    "opt-in-status": lambda _, item: ("opt-in-not-required",),
    "message": lambda _, item: (),
    "parent-zone-id": lambda _, item: (),
    "parent-zone-name": lambda _, item: (),
}


def _endpoint(region: Region) -> str:
    return f"ec2.{region.name}.amazonaws.com"


def _group(region: Region) -> str:
    return f"{region.name}-zg-1"


@operation("ec2:DescribeRegions")
def describe_regions(call: Call, world: World, params: Params) -> Outcome:
    """All served Regions; RegionNames must exist."""
    names = params.get("RegionNames") or list(REGIONS)
    unknown = [name for name in names if name not in REGIONS]
    if unknown:
        raise fault("InvalidParameterValue", message=f"Invalid region names: [{', '.join(unknown)}]")
    items = [_Listed(REGIONS[name]) for name in names]
    shown = [
        {"RegionName": item.region.name, "Endpoint": _endpoint(item.region), "OptInStatus": item.region.opt_in_status}
        for item in apply_filters(world, items, params.get("Filters") or (), _REGION_FILTERS)
    ]
    return Outcome({"Regions": shown})


@operation("ec2:DescribeAvailabilityZones")
def describe_availability_zones(call: Call, world: World, params: Params) -> Outcome:
    """Zones of the Region (NET-14)."""
    region = REGIONS[call.region]
    wanted = [*(params.get("ZoneNames") or ()), *(params.get("ZoneIds") or ())]
    unknown = [name for name in wanted if region.zone(name) is None]
    if unknown:
        raise fault("InvalidParameterValue", message=f"Invalid availability zones: [{', '.join(unknown)}]")
    items = [_Listed(region, zone) for zone in region.zones if not wanted or zone.name in wanted or zone.id in wanted]
    kept = apply_filters(world, items, params.get("Filters") or (), _ZONE_FILTERS)
    return Outcome({"AvailabilityZones": [_zone_view(item) for item in kept]})


def _zone_view(item: Any) -> Params:
    return {
        "ZoneName": item.zone.name,
        "ZoneId": item.zone.id,
        "RegionName": item.region.name,
        "GroupName": _group(item.region),
        "NetworkBorderGroup": item.region.name,
        "ZoneType": "availability-zone",
        "OptInStatus": "opt-in-not-required",
        "State": "available",
        "Messages": [],
    }


@operation("ec2:DescribeAccountAttributes")
def describe_account_attributes(call: Call, world: World, params: Params) -> Outcome:
    """What the account may do in the Region."""
    vpc = default_vpc(call, world)
    values = {
        "supported-platforms": ["VPC"],
        "default-vpc": [vpc.id if vpc else "none"],
        "max-instances": ["20"],
        "vpc-max-security-groups-per-interface": [str(call.limits["security-groups-per-interface"])],
        "max-elastic-ips": [str(call.limits["elastic-ips"])],
        "vpc-max-elastic-ips": [str(call.limits["elastic-ips"])],
    }
    names = params.get("AttributeNames") or list(values)
    shown = [
        {"AttributeName": name, "AttributeValues": [{"AttributeValue": value} for value in values[name]]}
        for name in names
        if name in values
    ]
    return Outcome({"AccountAttributes": shown})

"""The services that an endpoint can be made for (AWS PrivateLink Guide: "AWS services that integrate with AWS PrivateLink"): Amazon S3
by a gateway endpoint. Others do not exist here (VPE-16)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.registry import operation
from ringfence.model.aws_prefix_lists import service_name
from ringfence.model.errors import fault
from ringfence.model.regions import REGIONS
from ringfence.model.row import Tags
from ringfence.model.world import World

OWNER = "amazon"
GATEWAY = "Gateway"


@dataclass(frozen=True, slots=True)
class EndpointService:
    """A service of a Region; AWS's have no tags."""

    region: str
    service: str = "s3"
    tags: Tags = ()

    @property
    def name(self) -> str:
        return service_name(self.region, self.service)

    @property
    def id(self) -> str:
        return f"vpce-svc-{hashlib.sha256(self.name.encode()).hexdigest()[:17]}"

    def tag(self, key: str) -> str | None:
        return None


def service_of(region: str, name: str) -> EndpointService:
    """The service of that name in a Region. ApiError InvalidServiceName."""
    found = EndpointService(region)
    if name != found.name:
        raise fault("InvalidServiceName", service=name)
    return found


_FILTERS: dict[str, Values] = {
    "owner": lambda _, service: (OWNER,),
    "service-name": lambda _, service: (service.name,),
    "service-region": lambda _, service: (service.region,),
    "service-type": lambda _, service: (GATEWAY,),
    "supported-ip-address-types": lambda _, service: ("ipv4",),
}


@operation("ec2:DescribeVpcEndpointServices")
def describe_vpc_endpoint_services(call: Call, world: World, params: Params) -> Outcome:
    """ApiError InvalidServiceName, InvalidParameterValue. `ServiceRegions`: those of other Regions are not to be had from here."""
    regions = params.get("ServiceRegions") or [call.region]
    held = [EndpointService(region) for region in regions if region == call.region]
    if params.get("ServiceNames"):
        held = [service_of(call.region, name) for name in dict.fromkeys(params["ServiceNames"])]
    kept = apply_filters(world, held, params.get("Filters") or (), _FILTERS)
    shown, token = page(kept, params, low=1)
    reply: dict[str, Any] = {
        "ServiceNames": [service.name for service in shown],
        "ServiceDetails": [_view(service) for service in shown],
    }
    return Outcome(reply | ({"NextToken": token} if token else {}))


def _view(service: EndpointService) -> dict[str, Any]:
    zones = REGIONS[service.region].zones
    return {
        "ServiceName": service.name, "ServiceId": service.id, "ServiceType": [{"ServiceType": GATEWAY}],
        "ServiceRegion": service.region, "AvailabilityZones": [zone.name for zone in zones],
        "AvailabilityZoneIds": [zone.id for zone in zones], "Owner": OWNER,
        "BaseEndpointDnsNames": [f"{service.service}.{service.region}.amazonaws.com"], "VpcEndpointPolicySupported": True,
        "AcceptanceRequired": False, "ManagesVpcEndpoints": False, "Tags": [], "SupportedIpAddressTypes": ["ipv4"],
    }  # fmt: skip

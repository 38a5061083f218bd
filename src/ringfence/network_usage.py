"""Network address usage of VPCs (Amazon VPC User Guide: "Network Address Usage for your VPC"; MON-08, MON-09).

Weights: each address of an interface 1, each interface of an instance beyond its first 1. What else the guide weighs (prefixes,
load balancers, endpoints, NAT gateways, attachments) does not exist here yet, nor does peering, so that both metrics are equal.
"""

from __future__ import annotations

from collections import Counter

from ringfence.model.kinds import NETWORK_INTERFACE, VPC
from ringfence.model.world import World
from ringfence.store.metrics import Metric, Sample, of_values

NAMESPACE, DIMENSION = "AWS/EC2", "Per-VPC Metrics"
_NAMES = ("NetworkAddressUsage", "NetworkAddressUsagePeered")


def usage(world: World) -> Counter[str]:
    """Units of each VPC."""
    units: Counter[str] = Counter()
    for eni in world.all(NETWORK_INTERFACE):
        extra = eni.attachment is not None and eni.attachment.device_index > 0
        units[eni.vpc_id] += len(eni.addresses) + len(eni.ipv6) + extra
    return units


def samples(world: World, at: int) -> list[Sample]:
    """Of every VPC that has EnableNetworkAddressUsageMetrics set."""
    watched = [vpc for vpc in world.all(VPC) if vpc.network_address_usage_metrics]
    units = usage(world) if watched else Counter()
    return [
        of_values(
            [(float(units[vpc.id]), 1.0)], account=vpc.owner_id, region=vpc.region, at=at, unit="Count",
            metric=Metric(NAMESPACE, name, ((DIMENSION, vpc.id),)),
        )
        for vpc in watched
        for name in _NAMES
    ]  # fmt: skip

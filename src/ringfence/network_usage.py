"""Metrics of network address usage (Amazon VPC User Guide: "CloudWatch metrics for your VPCs"; MON-08).

Of each VPC with EnableNetworkAddressUsageMetrics: in `AWS/EC2`, and in `AWS/Usage` as ResourceCount, there also for all such VPCs
of an account together, one value each. AWS reports them every 24 hours, this installation every minute.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.model.kinds import VPC
from ringfence.model.network_usage import peered_usage, usage
from ringfence.model.world import World
from ringfence.store.metrics import Metric, Sample, of_values

_USES = {"NetworkAddressUsage": usage, "NetworkAddressUsagePeered": peered_usage}


def samples(world: World, at: int) -> list[Sample]:
    """Of every VPC that has EnableNetworkAddressUsageMetrics set."""
    return list(_samples(world, at))


def _samples(world: World, at: int) -> Iterator[Sample]:
    together: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for vpc in world.all(VPC):
        for name, count in _USES.items() if vpc.network_address_usage_metrics else ():
            units = (float(count(world, vpc.id)), 1.0)
            for metric in (Metric("AWS/EC2", name, (("Per-VPC Metrics", vpc.id),)), _count(vpc.id, name)):
                yield of_values([units], account=vpc.owner_id, region=vpc.region, at=at, unit="Count", metric=metric)
            together.setdefault((vpc.owner_id, vpc.region, name), []).append(units)
    for (account, region, name), values in together.items():
        yield of_values(values, account=account, region=region, at=at, unit="Count", metric=_count("VPC", name))


def _count(resource: str, kind: str) -> Metric:
    """`AWS/Usage` has dimensions in alphabetical order, as all metrics do here."""
    return Metric(
        "AWS/Usage",
        "ResourceCount",
        (("Class", kind), ("Resource", resource), ("Service", "EC2"), ("Type", "Resource")),
    )

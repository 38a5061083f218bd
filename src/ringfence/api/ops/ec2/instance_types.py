"""Instance types and what they limit (Amazon EC2 API Reference: DescribeInstanceTypes, DescribeInstanceTypeOfferings; EC2 User
Guide: "IP addresses per network interface"). An instance here is a sandbox whatever its type, so every type that there is
data of is offered in every zone; of processors and memory only the data is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.instance_types import InstanceType, instance_types
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.regions import REGIONS
from ringfence.model.row import Tags
from ringfence.model.world import World


# ---------------------------------------------------------------------- limits
def check_type(name: str) -> None:
    """May an instance be launched with it? Unsupported."""
    if name not in instance_types():
        raise fault(
            "Unsupported",
            message="The requested configuration is currently not supported. "
            "Please check the documentation for supported configurations.",
        )


def check_interfaces(type_name: str, interfaces: Iterable[NetworkInterface]) -> None:
    """Do the interfaces, and the addresses of each, fit an instance of the type?

    AttachmentLimitExceeded, PrivateIpAddressLimitExceeded. A type that has no IPv6 on AWS has it here: its interfaces are
    bounded in IPv4 alone.
    """
    type = instance_types().get(type_name)
    if type is None:
        return  # of an installation that knew it
    interfaces = tuple(interfaces)
    if len(interfaces) > type.interfaces:
        message = f"Interface count {len(interfaces)} exceeds the limit for {type.name}"
        raise fault("AttachmentLimitExceeded", message=message)
    for eni in interfaces:
        if len(eni.addresses) > type.ipv4:
            raise fault("PrivateIpAddressLimitExceeded", message="Number of private addresses will exceed limit.")
        if type.ipv6 and len(eni.ipv6) > type.ipv6:
            raise fault("PrivateIpAddressLimitExceeded", message="Number of IPv6 addresses will exceed limit.")


# ---------------------------------------------------------------------- types
@dataclass(frozen=True, slots=True)
class _Listed:
    """A type in a filterable list; has no tags."""

    type: InstanceType
    tags: Tags = ()

    @property
    def id(self) -> str:
        return self.type.name

    def tag(self, key: str) -> str | None:
        return None


def _flag(letter: str) -> Values:
    return lambda _, item: ("true" if letter in item.type.flags else "false",)


_TYPE_FILTERS: dict[str, Values] = {
    "instance-type": lambda _, item: (item.type.name,),
    "current-generation": _flag("c"),
    "burstable-performance-supported": _flag("b"),
    "free-tier-eligible": _flag("f"),
    "dedicated-hosts-supported": _flag("d"),
    "bare-metal": _flag("m"),
    "network-info.ipv6-supported": _flag("6"),
    "hypervisor": lambda _, item: (item.type.hypervisor,),
    "memory-info.size-in-mib": lambda _, item: (str(item.type.memory),),
    "network-info.ena-support": lambda _, item: (item.type.ena,),
    "network-info.ipv4-addresses-per-interface": lambda _, item: (str(item.type.ipv4),),
    "network-info.ipv6-addresses-per-interface": lambda _, item: (str(item.type.ipv6),),
    "network-info.maximum-network-cards": lambda _, item: (str(len(item.type.cards)),),
    "network-info.maximum-network-interfaces": lambda _, item: (str(sum(item.type.cards)),),
    "network-info.network-performance": lambda _, item: (item.type.performance,),
    "processor-info.supported-architecture": lambda _, item: item.type.architectures,
    "processor-info.sustained-clock-speed-in-ghz": lambda _, item: (str(item.type.clock),),
    "supported-root-device-type": lambda _, item: ("ebs",),
    "supported-usage-class": lambda _, item: ("on-demand",),
    "supported-virtualization-type": lambda _, item: ("hvm",),
    "vcpu-info.default-cores": lambda _, item: (str(item.type.cores),),
    "vcpu-info.default-threads-per-core": lambda _, item: (str(item.type.threads),),
    "vcpu-info.default-vcpus": lambda _, item: (str(item.type.vcpus),),
}


@operation("ec2:DescribeInstanceTypes")
def describe_instance_types(call: Call, world: World, params: Params) -> Outcome:
    """By name (at most 100) or filter. InvalidInstanceType."""
    names = params.get("InstanceTypes") or ()
    if len(names) > 100:
        raise fault("InvalidParameterValue", message="At most 100 instance types can be named.")
    if names and params.get("MaxResults") is not None:
        raise fault(
            "InvalidParameterCombination",
            message="The parameter MaxResults cannot be used with a list of instance types",
        )
    known = instance_types()
    unknown = [name for name in names if name not in known]
    if unknown:
        message = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        raise fault("InvalidInstanceType", message=message)
    items = [_Listed(known[name]) for name in (dict.fromkeys(names) or known)]
    shown, token = page(apply_filters(world, items, params.get("Filters") or (), _TYPE_FILTERS), params, high=100)
    reply = {"InstanceTypes": [_view(item.type) for item in shown]}
    return Outcome(reply | ({"NextToken": token} if token else {}))


def _view(type: InstanceType) -> dict[str, Any]:
    processor: dict[str, Any] = {"SupportedArchitectures": list(type.architectures), "Manufacturer": type.maker}
    if type.clock is not None:
        processor["SustainedClockSpeedInGhz"] = type.clock
    cpus = {"DefaultVCpus": type.vcpus, "DefaultCores": type.cores, "DefaultThreadsPerCore": type.threads}
    out: dict[str, Any] = {
        "InstanceType": type.name,
        "CurrentGeneration": "c" in type.flags,
        "FreeTierEligible": "f" in type.flags,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": "m" in type.flags,
        "ProcessorInfo": processor,
        "VCpuInfo": {name: value for name, value in cpus.items() if value is not None},
        "MemoryInfo": {"SizeInMiB": type.memory},
        "NetworkInfo": _network(type),
        "BurstablePerformanceSupported": "b" in type.flags,
        "DedicatedHostsSupported": "d" in type.flags,
    }
    return out | ({"Hypervisor": type.hypervisor} if type.hypervisor else {})


def _network(type: InstanceType) -> dict[str, Any]:
    cards = [
        {"NetworkCardIndex": index, "NetworkPerformance": type.performance, "MaximumNetworkInterfaces": most}
        for index, most in enumerate(type.cards)
    ]
    if len(cards) > 1:  # how fast each of several is Amazon says apart
        cards = [{name: value for name, value in card.items() if name != "NetworkPerformance"} for card in cards]
    return {
        "NetworkPerformance": type.performance,
        "MaximumNetworkInterfaces": sum(type.cards),
        "MaximumNetworkCards": len(type.cards),
        "DefaultNetworkCardIndex": 0,
        "NetworkCards": cards,
        "Ipv4AddressesPerInterface": type.ipv4,
        "Ipv6AddressesPerInterface": type.ipv6,
        "Ipv6Supported": "6" in type.flags,
        "EnaSupport": type.ena,
    }


# ---------------------------------------------------------------------- offerings
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

"""What a counter reports, and the record of it (Amazon VPC User Guide: "Flow log records"; spec FL-19 … FL-42).

An `Observation` is what was seen of one flow at one interface; `Facts` is what the World knows of that interface;
`Subject` is the flow log's part. A `Record` puts them together; `fields.py` says how its fields are spelled.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol

from ringfence.model.row import Tags

Address = IPv4Address | IPv6Address
FIN, SYN, RST, ACK = 1, 2, 4, 16
_WITH_PORTS = frozenset({6, 17, 132, 136, 33})  # TCP, UDP, SCTP, UDP-Lite, DCCP


class Direction(enum.StrEnum):
    """As the interface sees it (FL-36)."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Status(enum.StrEnum):
    """`log-status` (FL-28)."""

    OK = "OK"
    NODATA = "NODATA"
    SKIPDATA = "SKIPDATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Why a packet was refused. It goes into our side channel, never into a format of AWS's (D-16).

    `layer` as `trace` names it (`sg-ingress`, `nacl-out`, `bpa` …); `component`: the group or ACL; `rule`: its rule.
    """

    layer: str
    component: str | None = None
    rule: str | None = None


def counted_flags(flags: int) -> int:
    """What one packet's TCP flags add to `tcp-flags` (FL-30): ACK counts only together with SYN; PSH, URG, ECE never."""
    return flags & (FIN | SYN | RST) | (ACK if flags & SYN and flags & ACK else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Packets of one flow, seen at one interface since the counter was read before.

    Addresses are those in the packets at this interface. `octets` are the IP lengths added up. `tcp_flags`: `counted_flags`
    of every packet, or'ed; None where the counter cannot see them. `first`, `last`: seconds since 1970, UTC.
    INVARIANT kept by counters: `first` and `last` lie in the same minute of UTC; see `windows.py` for those that do not.
    """

    interface_id: str
    direction: Direction
    accepted: bool
    source: Address
    destination: Address
    protocol: int
    packets: int
    octets: int
    first: float
    last: float
    source_port: int = 0
    destination_port: int = 0
    tcp_flags: int | None = None
    reject: Reject | None = None
    mirrored: bool = False  # a copy made by traffic mirroring
    icmp: tuple[int, int] | None = (
        None  # type and code, where the counter tells them apart; no part of the flow (FL-45)
    )

    @property
    def ports(self) -> tuple[int, int]:
        """0 and 0 for protocols without ports, ICMP among them (FL-23)."""
        return (self.source_port, self.destination_port) if self.protocol in _WITH_PORTS else (0, 0)

    @property
    def flow(self) -> tuple[object, ...]:
        """What tells one record from another within an interface and a window (FL-45)."""
        return (
            self.direction, self.accepted, self.source, self.destination, self.protocol, self.ports,
            self.reject.layer if self.reject else None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Packets at an interface that were not counted one by one: the counter was full, or not there."""

    interface_id: str
    first: float
    last: float
    packets: int | None = None  # how many, if that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What counters had since they were read before. All packets up to `until` that some flow log asks for are in it or were
    in an earlier one. `unasked`: interfaces that had others, and when at the latest."""

    until: float
    observations: tuple[Observation, ...] = ()
    gaps: tuple[Gap, ...] = ()
    unasked: tuple[tuple[str, float], ...] = ()


class Observations(Protocol):
    """Where observations come from: the counters of a data plane."""

    def take(self) -> Taken:
        """Read and reset: every counted packet is in exactly one `Taken`. OSError when the counters cannot be read now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """The interface that a packet goes to next, where it is known (version 11)."""

    interface_id: str
    subnet_id: str
    vpc_id: str
    az_id: str
    interface_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of an interface when its traffic is recorded. None: not applicable or unknown (FL-42)."""

    interface_id: str
    account_id: str
    region: str
    vpc_id: str
    subnet_id: str
    interface_type: str
    az_id: str | None = None
    instance_id: str | None = None
    addresses: tuple[IPv4Address, ...] = ()  # the first is the primary one
    ipv6: tuple[IPv6Address, ...] = ()
    sublocation: tuple[str, str] | None = None  # type, id
    resource_id: str | None = None  # of a Regional NAT gateway
    tags: Tags = ()
    instance_tags: Tags = ()
    encryption: int | None = None  # VEC-04
    ecs: Mapping[str, str] = field(default_factory=dict)

    def own(self, address: Address) -> Address:
        """How the interface's own side of a flow is shown (FL-22): the primary IPv4 address, whichever was meant."""
        mine: tuple[Address, ...] = self.addresses if isinstance(address, IPv4Address) else self.ipv6
        if isinstance(address, IPv6Address) and address in mine:
            return address
        return mine[0] if mine else address


#: networks of AWS's services, and their names as `ip-ranges.json` spells them (FL-35)
Services = tuple[tuple[IPv4Network | IPv6Network, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of a flow log: counts of a flow in a window, or that there were none (`observation` None)."""

    facts: Facts
    start: float
    end: float
    status: Status = Status.OK
    observation: Observation | None = None
    traffic_path: int | None = None
    next_hop: NextHop | None = None
    services: Services = ()
    tag_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int = 2

    @property
    def source(self) -> Address | None:
        """`srcaddr`."""
        seen = self.observation
        if seen is None:
            return None
        return self.facts.own(seen.source) if seen.direction is Direction.EGRESS else seen.source

    @property
    def destination(self) -> Address | None:
        """`dstaddr`."""
        seen = self.observation
        if seen is None:
            return None
        return self.facts.own(seen.destination) if seen.direction is Direction.INGRESS else seen.destination

    def service_of(self, address: Address | None) -> str | None:
        """The service whose networks have the address; the narrowest network wins."""
        if address is None:
            return None
        found = [
            (net.prefixlen, name) for net, name in self.services if address.version == net.version and address in net
        ]
        return max(found)[1] if found else None

    def tag(self, resource_type: str, position: int) -> str | None:
        """The value of the tag that the flow log names for a type of resource: its first or second key."""
        keys = self.tag_keys.get(resource_type, ())
        tags = {"instance": self.facts.instance_tags, "network-interface": self.facts.tags}.get(resource_type, ())
        return dict(tags).get(keys[position]) if position < len(keys) else None

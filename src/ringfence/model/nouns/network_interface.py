"""Elastic network interfaces and Elastic IP addresses (Amazon EC2 User Guide: "Elastic network interfaces")."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ringfence.model.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTimeouts:
    """Idle timeouts of tracked connections in seconds (CT-13..CT-15)."""

    tcp_established: int = 432000
    udp_stream: int = 180
    udp: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An interface attached to an instance."""

    id: str  # eni-attach-...
    instance_id: str
    device_index: int
    attach_time: str  # ISO 8601, UTC
    delete_on_termination: bool = True
    network_card_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkInterface(Row):
    """An ENI. `addresses[0]` is the primary private IPv4 address.

    `number` (1..65535) is unique within its VPC: the data plane's conntrack zone and interface number.
    `auto_public_ip` is a public address lent to the primary address at launch, not an Elastic IP (IGW-13).
    """

    vpc_id: str
    subnet_id: str
    availability_zone: str
    number: int
    mac: str
    addresses: tuple[IPv4Address, ...]
    ipv6: tuple[IPv6Address, ...] = ()
    groups: tuple[str, ...] = ()
    description: str = ""
    source_dest_check: bool = True
    interface_type: str = "interface"
    requester_managed: bool = False
    requester_id: str | None = None
    attachment: Attachment | None = None
    auto_public_ip: IPv4Address | None = None
    #: decided at launch and kept: whether a start of the instance lends a public address again (NET-15)
    associate_public_ip: bool = False
    #: None = never set by the user: the defaults apply and Describe does not list them
    timeouts: ConnectionTimeouts | None = None
    #: only imports have it: why nothing can be said about what it sends and receives
    doubt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticIp(Row):
    """An Elastic IP; id = allocation id `eipalloc-...`. Associated when `association_id` is set."""

    public_ip: IPv4Address
    network_border_group: str
    association_id: str | None = None  # eipassoc-...
    network_interface_id: str | None = None
    private_ip: IPv4Address | None = None

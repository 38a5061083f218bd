"""VPCs, subnets, DHCP options and internet gateways (Amazon VPC User Guide: "How Amazon VPC works")."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from ringfence.model.nouns.instance import NO_PREFERENCE, MetadataDefaults
from ringfence.model.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class CidrAssociation:
    """One address block of a VPC or subnet. `id` is `vpc-cidr-assoc-...` or `subnet-cidr-assoc-...`."""

    id: str
    block: IPv4Network | IPv6Network
    state: str = "associated"  # NET-08: associating associated disassociating disassociated failing failed


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionState(Row):
    """Marks that an account's default VPC, zones and built-in image were made in a Region. id = account/region."""

    metadata_defaults: MetadataDefaults = NO_PREFERENCE
    image_sharing_blocked: bool = True  # AWS: new accounts cannot make images public


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc(Row):
    """A VPC. INVARIANT: `ipv4[0]` is the primary block and never removed."""

    ipv4: tuple[CidrAssociation, ...]
    ipv6: tuple[CidrAssociation, ...] = ()
    is_default: bool = False
    tenancy: str = "default"
    dhcp_options_id: str = "default"
    dns_support: bool = True
    dns_hostnames: bool = False
    network_address_usage_metrics: bool = False
    main_route_table_id: str = ""
    default_network_acl_id: str = ""
    default_security_group_id: str = ""

    @property
    def cidr(self) -> IPv4Network:
        block = self.ipv4[0].block
        assert isinstance(block, IPv4Network)
        return block


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet(Row):
    """A subnet; lies in one Availability Zone (NET-14). `network_acl_id` is always set (ACL-20)."""

    vpc_id: str
    cidr: IPv4Network
    availability_zone: str
    availability_zone_id: str
    network_acl_id: str
    network_acl_association_id: str
    ipv6: tuple[CidrAssociation, ...] = ()
    default_for_az: bool = False
    map_public_ip_on_launch: bool = False
    assign_ipv6_address_on_creation: bool = False
    enable_dns64: bool = False
    private_dns_hostname_type: str = "ip-name"
    resource_name_dns_a_record: bool = False
    resource_name_dns_aaaa_record: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetCidrReservation(Row):
    """Addresses of a subnet that are never given out unasked (VPC User Guide: "Subnet CIDR reservations")."""

    subnet_id: str
    block: IPv4Network | IPv6Network
    reservation_type: str  # prefix | explicit
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpOptions(Row):
    """A DHCP options set: option name -> values, immutable (DNS-05)."""

    options: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InternetGateway(Row):
    """An internet gateway; attached to at most one VPC (IGW-01)."""

    vpc_id: str | None = None

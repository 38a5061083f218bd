"""Network ACLs (Amazon VPC User Guide: "Control traffic to subnets using network ACLs")."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.net import Network, PortRange
from ringfence.model.row import Row

#: the entry shown as `*`: it cannot be changed and is not stored (ACL-06)
FINAL_RULE_IPV4, FINAL_RULE_IPV6 = 32767, 32768


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAclEntry:
    """One numbered entry, 1..32766 (ACL-07). `ports` for 6 and 17; `icmp` = (type, code), -1 = all, for 1 and 58."""

    number: int
    egress: bool
    protocol: int  # -1 = all, else 0..255
    allow: bool
    cidr: Network
    ports: PortRange | None = None
    icmp: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAcl(Row):
    """A network ACL. Which subnets use it is stored in the subnets (ACL-20)."""

    vpc_id: str
    is_default: bool = False
    entries: tuple[NetworkAclEntry, ...] = ()
    #: per direction: still as created, so a later IPv6 CIDR adds rule 101 (ACL-04, D-19)
    ingress_unmodified: bool = True
    egress_unmodified: bool = True

"""Security groups and their rules (Amazon VPC User Guide: "Security groups for your VPC")."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.net import Network
from ringfence.model.row import Row, Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReference:
    """A security group named as the peer of a rule, possibly of another account or peer VPC (SG-52)."""

    group_id: str
    owner_id: str
    vpc_id: str | None = None
    peering_connection_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupRule:
    """One allow rule. INVARIANT: exactly one of `cidr`, `prefix_list_id`, `group` is set (SG-33).

    `from_port`/`to_port`: ports for TCP and UDP; ICMP type and code (-1 = all) for ICMP and ICMPv6;
    -1/-1 for every other protocol, whose ports do not matter (SG-40, SG-42).
    """

    id: str  # sgr-...
    egress: bool
    protocol: int  # -1 = all, else 0..255
    from_port: int
    to_port: int
    cidr: Network | None = None
    prefix_list_id: str | None = None
    group: GroupReference | None = None
    description: str | None = None
    tags: Tags = ()

    def same_permission(self, other: SecurityGroupRule) -> bool:
        """Equal but for id, description and tags: what makes a duplicate (SG-37) and a match (SG-47)."""
        return self.permission == other.permission

    @property
    def permission(self) -> tuple[object, ...]:
        peer_group = self.group.group_id if self.group else None
        return (self.egress, self.protocol, self.from_port, self.to_port, self.cidr, self.prefix_list_id, peer_group)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAssociation(Row):
    """Lets a group be used in a second VPC (SG-70). `id` is `group@vpc`."""

    group_id: str
    vpc_id: str
    state: str = "associated"  # associating associated association-failed disassociating disassociated ...

    @staticmethod
    def id_of(group_id: str, vpc_id: str) -> str:
        return f"{group_id}@{vpc_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup(Row):
    """A security group of one VPC. `rules` keep their order of creation; order has no meaning (SG-65)."""

    vpc_id: str
    name: str
    description: str
    rules: tuple[SecurityGroupRule, ...] = ()
    #: egress still as created: a later IPv6 CIDR then adds the ::/0 rule (SG-28, D-19)
    egress_unmodified: bool = True

    @property
    def is_default(self) -> bool:
        return self.name == "default"

    @property
    def ingress_rules(self) -> tuple[SecurityGroupRule, ...]:
        return tuple([rule for rule in self.rules if not rule.egress])

    @property
    def egress_rules(self) -> tuple[SecurityGroupRule, ...]:
        return tuple([rule for rule in self.rules if rule.egress])

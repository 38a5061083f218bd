"""What must hold in every World, whatever was called: checked after each call by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

from ringfence.model.kinds import (
    ACCESS_KEY,
    ELASTIC_IP,
    FLOW_LOG,
    GROUP,
    GROUP_ASSOCIATION,
    INSTANCE,
    INSTANCE_PROFILE,
    KINDS,
    MANAGED_POLICY,
    MFA_DEVICE,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    PREFIX_LIST,
    RESOURCE_SHARE,
    ROLE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    USER,
    VPC,
    VPC_ENDPOINT,
    Kind,
)
from ringfence.model.nouns.network import Subnet, Vpc
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.nouns.routing import RouteTarget
from ringfence.model.nouns.security_group import GroupAssociation, SecurityGroup
from ringfence.model.quotas import POLICY_VERSIONS
from ringfence.model.world import World


def usable(world: World, group: SecurityGroup, vpc_id: str) -> bool:
    """May interfaces of the VPC carry the group: is it the group's own VPC or one associated with it (SG-12, SG-70)?"""
    return group.vpc_id == vpc_id or world.find(GROUP_ASSOCIATION, GroupAssociation.id_of(group.id, vpc_id)) is not None


def check(world: World) -> list[str]:
    """Everything that is wrong; empty for a sound World."""
    return [
        *_vpcs(world),
        *_subnets(world),
        *_interfaces(world),
        *_groups(world),
        *_associations(world),
        *_prefix_lists(world),
        *_addresses(world),
        *_identities(world),
        *_flow_logs(world),
        *_peerings(world),
        *_endpoints(world),
    ]


def _vpcs(world: World) -> Iterator[str]:
    for vpc in world.all(VPC):
        mains = [t for t in world.by(ROUTE_TABLE, "vpc", vpc.id) if any(a.main for a in t.associations)]
        if [table.id for table in mains] != [vpc.main_route_table_id]:
            yield f"{vpc.id} has main tables {[t.id for t in mains]}, not {vpc.main_route_table_id}"
        if world.find(NETWORK_ACL, vpc.default_network_acl_id) is None:
            yield f"{vpc.id} lacks its default network ACL"
        if world.find(SECURITY_GROUP, vpc.default_security_group_id) is None:
            yield f"{vpc.id} lacks its default group"
        numbers = [table.number for table in world.by(ROUTE_TABLE, "vpc", vpc.id)]
        if len(set(numbers)) != len(numbers):
            yield f"{vpc.id} numbers two route tables alike"


def _subnets(world: World) -> Iterator[str]:
    for vpc in world.all(VPC):
        subnets = world.by(SUBNET, "vpc", vpc.id)
        for index, subnet in enumerate(subnets):
            yield from _subnet(world, vpc, subnet)
            for other in subnets[index + 1 :]:
                if subnet.cidr.overlaps(other.cidr):
                    yield f"{subnet.id} and {other.id} overlap"


def _subnet(world: World, vpc: Vpc, subnet: Subnet) -> Iterator[str]:
    if not any(isinstance(a.block, IPv4Network) and subnet.cidr.subnet_of(a.block) for a in vpc.ipv4):
        yield f"{subnet.id} lies outside its VPC"
    acl = world.find(NETWORK_ACL, subnet.network_acl_id)
    if acl is None or acl.vpc_id != subnet.vpc_id:
        yield f"{subnet.id} has no network ACL of its VPC"
    if world.count(ROUTE_TABLE, "subnet", subnet.id) > 1:
        yield f"{subnet.id} is associated with two route tables"


def _interfaces(world: World) -> Iterator[str]:
    held: dict[str, str] = {}
    numbers: dict[tuple[str, int], str] = {}
    for eni in world.all(NETWORK_INTERFACE):
        subnet = world.find(SUBNET, eni.subnet_id)
        if subnet is None or subnet.vpc_id != eni.vpc_id:
            yield f"{eni.id} has no subnet"
            continue
        for address in (*eni.addresses, *eni.ipv6):
            if address.version == 4 and address not in subnet.cidr:
                yield f"{eni.id} has {address}, outside its subnet"
            other = held.setdefault(f"{eni.vpc_id}/{address}", eni.id)
            if other != eni.id:
                yield f"{eni.id} and {other} have {address}"
        if numbers.setdefault((eni.vpc_id, eni.number), eni.id) != eni.id:
            yield f"{eni.id} shares number {eni.number}"
        for id in eni.groups:
            group = world.find(SECURITY_GROUP, id)
            if group is None or not usable(world, group, eni.vpc_id):
                yield f"{eni.id} carries {id}, which is no group of its VPC"
        if eni.attachment and world.find(INSTANCE, eni.attachment.instance_id) is None:
            yield f"{eni.id} is attached to an instance that does not exist"


def _associations(world: World) -> Iterator[str]:
    for row in world.all(GROUP_ASSOCIATION):
        if world.find(SECURITY_GROUP, row.group_id) is None or world.find(VPC, row.vpc_id) is None:
            yield f"{row.id} associates what does not exist"


def _groups(world: World) -> Iterator[str]:
    for group in world.all(SECURITY_GROUP):
        seen = {rule.permission for rule in group.rules}
        if len(seen) != len(group.rules):
            yield f"{group.id} has a duplicate rule"
        for rule in group.rules:
            if sum(peer is not None for peer in (rule.cidr, rule.prefix_list_id, rule.group)) != 1:
                yield f"{rule.id} has not exactly one peer"


def _prefix_lists(world: World) -> Iterator[str]:
    for row in world.all(PREFIX_LIST):
        blocks = [entry.cidr for entry in row.entries]
        if len(set(blocks)) != len(blocks) or any(block.version != row.family for block in blocks):
            yield f"{row.id} has a block twice, or one of another family"
        if len(blocks) > row.max_entries:
            yield f"{row.id} has more than {row.max_entries} entries"
    for share in world.all(RESOURCE_SHARE):
        for resource in share.resources:
            noun, _, id = resource.key.partition("/")
            held = world.find(KINDS[noun], id)
            if held is None or held.owner_id != share.owner_id:
                yield f"{share.id} shares {resource.arn}, which its owner does not have"


def _addresses(world: World) -> Iterator[str]:
    public = [str(row.public_ip) for row in world.all(ELASTIC_IP)]
    public += [str(eni.auto_public_ip) for eni in world.all(NETWORK_INTERFACE) if eni.auto_public_ip]
    if len(set(public)) != len(public):
        yield "a public address is given twice"
    for row in world.all(ELASTIC_IP):
        eni = world.find(NETWORK_INTERFACE, row.network_interface_id)
        if row.association_id and (eni is None or row.private_ip not in eni.addresses):
            yield f"{row.id} is associated with an address that does not exist"


def _flow_logs(world: World) -> Iterator[str]:
    """A flow log goes with its resource."""
    kinds: dict[str, Kind[Any]] = {"VPC": VPC, "Subnet": SUBNET, "NetworkInterface": NETWORK_INTERFACE}
    for log in world.all(FLOW_LOG):
        if world.find(kinds[log.resource_type], log.resource_id) is None:
            yield f"{log.id} is of {log.resource_id}, which does not exist"


def _endpoints(world: World) -> Iterator[str]:
    """A gateway endpoint's route is in its tables and in no other (VPE-01), one of a list in each (VPE-02)."""
    for table in world.all(ROUTE_TABLE):
        lists = [route.prefix_list_id for route in table.listed]
        if len(set(lists)) != len(lists):
            yield f"{table.id} has two routes to one prefix list"
        led = {route.target_id for route in table.listed if route.target is RouteTarget.GATEWAY_ENDPOINT}
        if led != {endpoint.id for endpoint in world.by(VPC_ENDPOINT, "route_table", table.id)}:
            yield f"{table.id} leads to {sorted(led)}, which are not its gateway endpoints"
    for endpoint in world.all(VPC_ENDPOINT):
        tables = [world.find(ROUTE_TABLE, id) for id in endpoint.route_table_ids]
        if any(table is None or table.vpc_id != endpoint.vpc_id for table in tables):
            yield f"{endpoint.id} has route tables that are not of its VPC"


def _peerings(world: World) -> Iterator[str]:
    """An active connection has both its VPCs, and is the only one between them (PCX-04)."""
    active = [row for row in world.all(PEERING_CONNECTION) if row.status is PeeringStatus.ACTIVE]
    pairs = [frozenset((row.requester.vpc_id, row.accepter.vpc_id)) for row in active]
    if len(set(pairs)) != len(pairs):
        yield "two active peering connections join the same VPCs"
    for row in active:
        for side in (row.requester, row.accepter):
            vpc = world.find(VPC, side.vpc_id)
            if vpc is None or (vpc.owner_id, vpc.region) != (side.owner_id, side.region):
                yield f"{row.id} is active and has no {side.vpc_id}"


def _identities(world: World) -> Iterator[str]:
    """IAM: whatever is named exists, names are unique in every case, a policy's default is one of its versions."""
    named: tuple[Kind[Any], ...] = (USER, GROUP, ROLE, MANAGED_POLICY, INSTANCE_PROFILE)
    for kind in named:
        for row in world.all(kind):
            if world.count(kind, "name", f"{row.owner_id}/{row.name.lower()}") != 1:
                yield f"{kind.arn(row)} shares its name"
    for user in world.all(USER):
        if any(world.find(GROUP, id) is None for id in user.groups):
            yield f"{user.name} is in a group that is not there"
        if set(user.mfa_devices) != {device.id for device in world.by(MFA_DEVICE, "user", user.id)}:
            yield f"{user.name} and its MFA devices disagree"
    for profile in world.all(INSTANCE_PROFILE):
        if profile.role is not None and world.find(ROLE, profile.role) is None:
            yield f"{profile.name} holds a role that is not there"
    for policy in world.all(MANAGED_POLICY):
        if policy.default not in [version.id for version in policy.versions] or len(policy.versions) > POLICY_VERSIONS:
            yield f"{policy.name} has versions {[version.id for version in policy.versions]}, default {policy.default}"
    for key in world.all(ACCESS_KEY):
        if key.user_id is not None and world.find(USER, key.user_id) is None:
            yield f"{key.id} is of a user who is not there"

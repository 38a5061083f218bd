"""Remembered views: whatever was called before, a Describe shows what it would show with no memory at all (INF-13)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.api.ops.ec2 import network_acls, route_tables
from ringfence.api.ops.ec2.instance_views import instance_view
from ringfence.api.ops.ec2.interfaces import interface_view
from ringfence.api.ops.ec2.subnets import subnet_view
from ringfence.api.ops.ec2.vpcs import vpc_view
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.ops.views import Views
from ringfence.api.wire import model
from ringfence.api.wire.xml import XmlSerializer
from ringfence.model.errors import ApiError
from ringfence.model.kinds import INSTANCE, NETWORK_ACL, NETWORK_INTERFACE, ROUTE_TABLE, SECURITY_GROUP, SUBNET, VPC
from ringfence.model.world import World, delete, put
from tests.api.ops.harness import Api, plain

SHOWN: dict[str, tuple[str, Any, Callable[[Any, Any], Any]]] = {
    "DescribeNetworkInterfaces": ("NetworkInterfaces", NETWORK_INTERFACE, interface_view),
    "DescribeSubnets": ("Subnets", SUBNET, subnet_view),
    "DescribeVpcs": ("Vpcs", VPC, vpc_view),
    "DescribeRouteTables": ("RouteTables", ROUTE_TABLE, route_tables._view),
    "DescribeNetworkAcls": ("NetworkAcls", NETWORK_ACL, network_acls._view),
}


class Place:
    """Two VPCs' worth of things to change, and the serializer that remembers what it wrote."""

    def __init__(self) -> None:
        self.api = api = Api(defaults=True)
        self.vpc = api.vpc()
        api.gateway(self.vpc)
        self.subnets = [api.subnet(self.vpc), api.subnet(self.vpc, "10.0.1.0/24")]
        self.groups = [api.group(self.vpc, "a"), api.group(self.vpc, "b")]
        self.enis = [api.interface(subnet, self.groups[0]) for subnet in self.subnets]
        self.instances = [
            made["InstanceId"]
            for subnet in self.subnets
            for made in api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1, SubnetId=subnet)[
                "Instances"
            ]
        ]
        api.settle()
        self.addresses = [api.call("AllocateAddress", Domain="vpc")["AllocationId"] for _ in range(2)]
        self.table = api.call("CreateRouteTable", VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.acl = api.call("CreateNetworkAcl", VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        self._serializer = XmlSerializer()

    def check(self) -> None:
        """Every Describe, in memory and in XML, is what it is without memory."""
        world = self.api.world
        for action, (member, kind, view) in SHOWN.items():
            fresh = {member: [view(world, row) for row in world.all(kind)]}
            assert self.api.call(action) == plain(fresh), action
            self._check_text(action, fresh)
        fresh = {i.id: instance_view(world, i) for i in world.all(INSTANCE)}
        shown = self.api.call("DescribeInstances")
        assert {i["InstanceId"]: i for r in shown["Reservations"] for i in r["Instances"]} == plain(fresh)

    def _check_text(self, action: str, fresh: Any) -> None:
        operation: Any = model.operation("ec2", action)
        reply = OPERATIONS["ec2", action].handler(self.api._context(action), self.api.world, {}).reply
        remembered = b"".join(self._serializer.result("ec2", operation, reply))
        assert remembered == b"".join(XmlSerializer().result("ec2", operation, fresh))


def _pick(items: list[str], number: int) -> str:
    return items[number % len(items)]


def _attach(p: Place, n: int) -> None:
    p.api.call(
        "AttachNetworkInterface",
        NetworkInterfaceId=_pick(p.enis, n),
        InstanceId=_pick(p.instances, n // 2),
        DeviceIndex=1 + n % 3,
    )


def _detach(p: Place, n: int) -> None:
    attached = [e for e in p.api.world.all(NETWORK_INTERFACE) if e.attachment and e.attachment.device_index]
    if attached:
        p.api.call("DetachNetworkInterface", AttachmentId=attached[n % len(attached)].attachment.id)  # type: ignore[union-attr]


def _disassociate(p: Place, n: int) -> None:
    held = [a for a in p.api.call("DescribeAddresses")["Addresses"] if "AssociationId" in a]
    if held:
        p.api.call("DisassociateAddress", AssociationId=held[n % len(held)]["AssociationId"])


def _associate_table(p: Place, n: int) -> None:
    p.api.call("AssociateRouteTable", RouteTableId=p.table, SubnetId=_pick(p.subnets, n))


def _replace_acl(p: Place, n: int) -> None:
    acls = p.api.call("DescribeNetworkAcls")["NetworkAcls"]
    found = [a["NetworkAclAssociationId"] for acl in acls for a in acl["Associations"] if acl["VpcId"] == p.vpc]
    p.api.call("ReplaceNetworkAclAssociation", AssociationId=_pick(found, n), NetworkAclId=p.acl)


STEPS: dict[str, Callable[[Place, int], Any]] = {
    "tag": lambda p, n: p.api.call(
        "CreateTags",
        Resources=[_pick([*p.enis, *p.subnets, *p.instances, *p.groups, p.table, p.acl, p.vpc], n)],
        Tags=[{"Key": "k", "Value": str(n)}],
    ),
    "untag": lambda p, n: p.api.call(
        "DeleteTags", Resources=[_pick([*p.enis, *p.subnets, *p.instances], n)], Tags=[{"Key": "k"}]
    ),
    "groups": lambda p, n: p.api.call(
        "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=_pick(p.enis, n), Groups=p.groups[: 1 + n % 2]
    ),
    "description": lambda p, n: p.api.call(
        "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=_pick(p.enis, n), Description={"Value": str(n)}
    ),
    "check": lambda p, n: p.api.call(
        "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=_pick(p.enis, n), SourceDestCheck={"Value": n % 2 == 0}
    ),
    "attach": _attach,
    "detach": _detach,
    "associate address": lambda p, n: p.api.call(
        "AssociateAddress",
        AllocationId=_pick(p.addresses, n),
        NetworkInterfaceId=_pick(p.enis, n // 2),
        AllowReassociation=True,
    ),
    "disassociate address": _disassociate,
    "hostnames": lambda p, n: p.api.call("ModifyVpcAttribute", VpcId=p.vpc, EnableDnsHostnames={"Value": n % 2 == 0}),
    "more addresses": lambda p, n: p.api.call(
        "AssignPrivateIpAddresses", NetworkInterfaceId=_pick(p.enis, n), SecondaryPrivateIpAddressCount=1
    ),
    "new interface": lambda p, n: p.enis.append(p.api.interface(_pick(p.subnets, n), p.groups[0])),
    "interface gone": lambda p, n: (
        p.api.call("DeleteNetworkInterface", NetworkInterfaceId=p.enis.pop(n % len(p.enis)))
        if len(p.enis) > 2
        else None
    ),
    "stop": lambda p, n: p.api.call("StopInstances", InstanceIds=[_pick(p.instances, n)]),
    "start": lambda p, n: p.api.call("StartInstances", InstanceIds=[_pick(p.instances, n)]),
    "settle": lambda p, n: p.api.settle(),
    "terminate": lambda p, n: p.api.call("TerminateInstances", InstanceIds=[_pick(p.instances, n)]),
    "route": lambda p, n: p.api.call(
        "CreateRoute",
        RouteTableId=p.table,
        DestinationCidrBlock=f"192.0.{n % 200}.0/24",
        NetworkInterfaceId=_pick(p.enis, n),
    ),
    "associate table": _associate_table,
    "acl": _replace_acl,
    "public": lambda p, n: p.api.call(
        "ModifySubnetAttribute", SubnetId=_pick(p.subnets, n), MapPublicIpOnLaunch={"Value": n % 2 == 0}
    ),
}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 1000), st.booleans()), max_size=12))
def test_memory_never_shows(steps: list[tuple[str, int, bool]]) -> None:
    """Any calls, looked at after some of them: each Describe equals the one made from nothing."""
    place = Place()
    place.check()
    for name, number, look in steps:
        try:
            STEPS[name](place, number)
        except ApiError:
            continue
        if look:
            place.check()
    place.check()


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_kind_of_change_is_seen(name: str) -> None:
    """One change each, with everything remembered just before."""
    place = Place()
    prepare = {"detach": "attach", "disassociate address": "associate address", "untag": "tag", "start": "stop"}
    for number in range(4):
        for step in (prepare.get(name), "settle", name):
            if step is not None:
                place.check()
                try:
                    STEPS[step](place, number)
                except ApiError:
                    continue
        place.check()


# ---------------------------------------------------------------------- the memory itself
def _interfaces(api: Api) -> tuple[Views, list[str]]:
    made: list[str] = []

    def view(world: Any, row: Any) -> Any:
        made.append(row.id)
        return {"Groups": [world.get(SECURITY_GROUP, id).tags for id in row.groups], "Id": row.id}

    return Views(NETWORK_INTERFACE, view), made


def test_a_view_is_made_once_and_again_when_what_it_read_changes() -> None:
    api = Api()
    vpc = api.vpc()
    subnet, group, other = api.subnet(vpc), api.group(vpc), api.group(vpc, "other")
    eni, free = api.interface(subnet, group), api.interface(subnet, other)
    views, made = _interfaces(api)
    rows = api.world.all(NETWORK_INTERFACE)
    first = views.of(api.world, rows)
    assert [a is b for a, b in zip(first, views.of(api.world, rows), strict=True)] == [True, True]
    assert made == [eni, free]
    api.call("CreateTags", Resources=[group], Tags=[{"Key": "k", "Value": "v"}])
    again = views.of(api.world, api.world.all(NETWORK_INTERFACE))
    assert made == [eni, free, eni]
    assert again[0].fill()["Groups"] == [(("k", "v"),)]
    assert again[1] is first[1]


def test_an_older_world_is_shown_as_it_was_and_spoils_nothing() -> None:
    api = Api()
    vpc = api.vpc()
    subnet, group = api.subnet(vpc), api.group(vpc)
    api.interface(subnet, group)
    views, _ = _interfaces(api)
    old = api.world
    api.call("CreateTags", Resources=[group], Tags=[{"Key": "k", "Value": "new"}])
    new = api.world
    for world, tags in ((new, (("k", "new"),)), (old, ()), (new, (("k", "new"),)), (old, ())):
        (memo,) = views.of(world, world.all(NETWORK_INTERFACE))
        assert memo.fill()["Groups"] == [tags]


def test_another_history_is_not_mixed_up() -> None:
    """After a reset the same ids may come again with other rows."""
    api = Api()
    vpc = api.vpc()
    subnet, group = api.subnet(vpc), api.group(vpc)
    id = api.interface(subnet, group)
    views, made = _interfaces(api)
    views.of(api.world, api.world.all(NETWORK_INTERFACE))
    fresh = World()
    for kind, row in api.world:
        fresh = fresh.apply(put(kind, row))
    views.of(fresh, fresh.all(NETWORK_INTERFACE))
    assert made == [id, id]


def test_the_memory_is_bounded() -> None:
    api = Api()
    vpc = api.vpc()
    subnet, group = api.subnet(vpc), api.group(vpc)
    views = Views(NETWORK_INTERFACE, interface_view, limit=10)
    world = api.world
    for _ in range(60):
        api.interface(subnet, group)
        world = api.world
        views.of(world, world.all(NETWORK_INTERFACE))
        assert len(views._made) <= 10
        assert len({id for ids in views._readers.values() for id in ids}) <= 11
        if len(world.all(NETWORK_INTERFACE)) > 15:
            api.world = world.apply(delete(NETWORK_INTERFACE, world.all(NETWORK_INTERFACE)[0].id))


def test_several_threads_see_their_own_world() -> None:
    api = Api()
    vpc = api.vpc()
    subnet, group = api.subnet(vpc), api.group(vpc)
    for _ in range(5):
        api.interface(subnet, group)
    worlds = []
    for number in range(30):
        api.call("CreateTags", Resources=[group], Tags=[{"Key": "k", "Value": str(number)}])
        worlds.append((number, api.world))
    views, _ = _interfaces(api)
    wrong: list[int] = []

    def read(order: list[tuple[int, World]]) -> None:
        for number, world in order:
            shown = views.of(world, world.all(NETWORK_INTERFACE))
            if any(memo.fill()["Groups"] != [(("k", str(number)),)] for memo in shown):
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(order,)) for order in (worlds * 3, worlds[::-1] * 3, worlds * 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

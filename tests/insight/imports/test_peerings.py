"""Peering connections from recorded output of both sides, from Terraform, and from snapshots (PCX-05, SG-52)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.insight.imports import snapshot
from ringfence.insight.imports.load import Network
from ringfence.insight.reach.engine import Engine, Unknown
from ringfence.model import invariants
from ringfence.model.kinds import NETWORK_INTERFACE, PEERING_CONNECTION
from ringfence.policy.compile import compile_world
from tests.api.ops.ec2.test_peering import OTHER, Parties, named, peers
from tests.builders import packet
from tests.insight.imports.recording import Documents, imported, recorded
from tests.insight.imports.test_terraform import Plan, ask, base, ref

NEAR, FAR = "10.0.0.10", "10.1.0.10"


@pytest.fixture(scope="module")
def documents() -> Documents:
    """What both accounts record: an interface each, routes both ways, a group of the one named by the other."""
    api = Parties()
    near, far, id = peers(api)
    found: Documents = {}
    group = api.group(near, "clients")
    for account, vpc, block, address, other in (
        ("111122223333", near, "10.0.0.0/24", NEAR, "10.1.0.0/16"), (OTHER, far, "10.1.0.0/24", FAR, "10.0.0.0/16"),
    ):  # fmt: skip
        with api.acting(account):
            mine = group if vpc == near else api.group(far, "web")
            if vpc == far:
                pair = named(group, UserId="111122223333")
                api.call("AuthorizeSecurityGroupIngress", GroupId=mine, IpPermissions=[pair])
            api.interface(api.subnet(vpc, block), mine, PrivateIpAddress=address)
            table = api.call("DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]
            api.call(
                "CreateRoute", RouteTableId=table["RouteTableId"], DestinationCidrBlock=other, VpcPeeringConnectionId=id
            )
            api.call("CreateTags", Resources=[id], Tags=[{"Key": "Name", "Value": account}])
            shown = api.call("DescribeVpcPeeringConnections")
            for one in shown["VpcPeeringConnections"]:
                one.pop("ExpirationTime", None)
            found |= {f"{account}/{name}": each for name, each in recorded(api.call).items()}
            found[f"{account}/peering"] = shown
    return found


def asked(network: Network, port: int) -> bool | Unknown:
    (eni,) = (row.id for row in network.world.all(NETWORK_INTERFACE) if str(row.addresses[0]) == NEAR)
    return Engine(compile_world(network.world)).ask(eni, packet(NEAR, FAR, "tcp", port))


def test_recordings_of_both_sides(documents: Documents) -> None:
    network = imported(documents)
    assert network.notes.whole, network.notes.view()
    assert invariants.check(network.world) == []
    (row,) = network.world.all(PEERING_CONNECTION)
    assert (row.requester.owner_id, row.accepter.owner_id) == ("111122223333", OTHER)
    assert (asked(network, 80), asked(network, 81)) == (True, False)
    again = snapshot.to_world(snapshot.of_world(network.world))
    assert again.all(PEERING_CONNECTION) == [row]


def test_the_other_side_is_missing(documents: Documents) -> None:
    """What goes there is unknown, and so is what comes from there."""
    network = imported({name: each for name, each in documents.items() if name.startswith("111122223333")})
    assert network.world.all(PEERING_CONNECTION) == []
    found = asked(network, 80)
    assert isinstance(found, Unknown)
    assert found.component.startswith("pcx-")


def test_the_two_recordings_differ(documents: Documents) -> None:
    changed: Any = {**documents, f"{OTHER}/peering": {"VpcPeeringConnections": [
        {**documents[f"{OTHER}/peering"]["VpcPeeringConnections"][0], "Status": {"Code": "deleted"}}]}}  # fmt: skip
    assert isinstance(asked(imported(changed), 80), Unknown)


def two(**connection: Any) -> Plan:
    plan = base()
    plan.add("aws_vpc.far", cidr_block="10.9.0.0/16")
    plan.add("aws_subnet.far", vpc_id=ref("aws_vpc.far"), cidr_block="10.9.1.0/24")
    plan.add("aws_security_group.far", vpc_id=ref("aws_vpc.far"), name="far")
    rule = {"from_port": 0, "to_port": 0, "protocol": "-1", "cidr_blocks": ["0.0.0.0/0"], "self": False}
    plan.block("aws_security_group.far", "ingress", rule)
    plan.add("aws_instance.far", subnet_id=ref("aws_subnet.far"), vpc_security_group_ids=ref("aws_security_group.far"),
             ami="ami-1", instance_type="t3.micro", private_ip="10.9.1.10")  # fmt: skip
    plan.add("aws_vpc_peering_connection.p", vpc_id=ref("aws_vpc.main"), peer_vpc_id=ref("aws_vpc.far"), **connection)
    way = ref("aws_vpc_peering_connection.p")
    plan.add("aws_route.to", route_table_id=ref("aws_route_table.public"), destination_cidr_block="10.9.0.0/16",
             vpc_peering_connection_id=way)  # fmt: skip
    plan.add("aws_route_table.far", vpc_id=ref("aws_vpc.far"))
    plan.add(
        "aws_route_table_association.far", subnet_id=ref("aws_subnet.far"), route_table_id=ref("aws_route_table.far")
    )
    plan.add("aws_route.back", route_table_id=ref("aws_route_table.far"), destination_cidr_block="10.0.0.0/16",
             vpc_peering_connection_id=way)  # fmt: skip
    return plan


def test_terraform_accepted_by_itself_or_by_another_resource_or_not() -> None:
    assert ask(two(auto_accept=True).read(), "aws_instance.x", "10.9.1.10", 80) == "ok"
    other = two()
    other.add(
        "aws_vpc_peering_connection_accepter.a",
        vpc_peering_connection_id=ref("aws_vpc_peering_connection.p"),
        auto_accept=True,
    )
    assert ask(other.read(), "aws_instance.x", "10.9.1.10", 80) == "ok"
    assert ask(two().read(), "aws_instance.x", "10.9.1.10", 80) == "no-route"

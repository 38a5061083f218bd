"""VPC endpoints from recorded output and from Terraform, and what `up` makes of them (VPE-01 … VPE-07, PL-10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.importing import refuse, said, service_lists
from ringfence.insight.imports.load import Network
from ringfence.model import invariants
from ringfence.model.aws_prefix_lists import service_list
from ringfence.model.kinds import GAP, PREFIX_LIST, SECURITY_GROUP, VPC_ENDPOINT
from ringfence.model.nouns.prefix_list import AWS
from ringfence.model.nouns.vpc_endpoint import DENY_ALL
from ringfence.model.world import World, put
from ringfence.settings import SettingsError
from tests.insight.imports.recording import (
    ENI,
    GROUP,
    IGW,
    INSTANCE,
    NEIGHBOUR,
    SUBNET,
    TABLE,
    VPC,
    Documents,
    imported,
    site,
)
from tests.insight.imports.test_terraform import Plan, ask, base, ref

S3, DYNAMODB, LIST, END = "com.amazonaws.eu-west-1.s3", "com.amazonaws.eu-west-1.dynamodb", "pl-6da54004", "vpce-1"
BLOCKS = ["52.218.0.0/17", "3.5.64.0/21"]
INSIDE, ELSEWHERE = "52.218.1.1", "8.8.8.8"
OWN_POLICY = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}]}
)
AWSS_POLICY = {
    "Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}],
    "Version": "2008-10-17",
}


def with_endpoint(*, listed: bool = True, **fields: Any) -> Documents:
    """The site, whose table leads to a gateway endpoint by the list of its service; `listed`: with the list's blocks."""
    documents = site()
    service = fields.get("ServiceName", S3)
    end = {"VpcEndpointId": END, "VpcEndpointType": "Gateway", "VpcId": VPC, "ServiceName": S3, "State": "available",
           "RouteTableIds": [TABLE], "SubnetIds": [], "Groups": [], "NetworkInterfaceIds": [],
           "CreationTimestamp": "2020-01-02T03:04:05Z", "PolicyDocument": json.dumps(AWSS_POLICY), **fields}  # fmt: skip
    documents["endpoints"] = {"VpcEndpoints": [end]}
    route = {"DestinationPrefixListId": LIST, "GatewayId": END, "Origin": "CreateRoute", "State": "active"}
    documents["tables"]["RouteTables"][0]["Routes"].append(route)
    if listed:
        documents["lists"] = {"PrefixLists": [{"PrefixListId": LIST, "PrefixListName": service, "Cidrs": BLOCKS}]}
    return documents


def test_a_gateway_endpoint_of_s3_with_aws_own_list() -> None:
    """VPE-01, VPE-06: by the blocks that were recorded, under AWS's id."""
    network = imported(with_endpoint())
    assert network.notes.whole, network.notes.view()
    assert invariants.check(network.world) == []
    (row,) = network.world.all(VPC_ENDPOINT)
    assert (row.prefix_list_id, row.route_table_ids, row.policy, row.created) == (LIST, (TABLE,), None, 1577934245.0)
    held = network.world.get(PREFIX_LIST, LIST)
    assert (held.owner_id, held.region, held.name) == (AWS, "eu-west-1", S3)
    assert ask(network, INSTANCE, INSIDE, 443) == "ok"
    assert ask(network, NEIGHBOUR, INSIDE, 443) == "ok", "without a public address"
    assert ask(network, INSTANCE, INSIDE, 22) == "endpoint"
    assert ask(network, INSTANCE, ELSEWHERE, 22) == "ok", "by the internet gateway"


def test_its_list_was_not_recorded() -> None:
    """PL-10: a list of AWS holds public addresses; what goes to others is known."""
    network = imported(with_endpoint(listed=False))
    assert list(network.notes.not_modelled) == [LIST]
    assert not network.world.all(GAP)
    assert {ask(network, INSTANCE, to, 443) for to in (INSIDE, ELSEWHERE)} == {LIST}
    assert ask(network, INSTANCE, NEIGHBOUR, 80) == "ok"
    assert ask(network, INSTANCE, "192.168.1.1", 443) == "gateway"


def test_a_gateway_endpoint_of_another_service_makes_unknown_what_takes_it() -> None:
    network = imported(with_endpoint(ServiceName=DYNAMODB))
    assert network.notes.not_modelled == {END: f"VpcEndpoint (Gateway of {DYNAMODB})"}
    assert not network.world.all(VPC_ENDPOINT)
    assert ask(network, INSTANCE, INSIDE, 443) == END
    assert ask(network, INSTANCE, ELSEWHERE, 443) == "ok"
    network = imported(with_endpoint(ServiceName=DYNAMODB, listed=False))
    assert {END, LIST} == set(network.notes.not_modelled)
    assert ask(network, INSTANCE, ELSEWHERE, 443) == LIST
    assert ask(network, INSTANCE, NEIGHBOUR, 80) == "ok"


@pytest.mark.parametrize(
    "fields",
    [
        {"State": "pending"},
        {"IpAddressType": "dualstack"},
        {"VpcEndpointType": None},
        {"ServiceName": "com.amazonaws.us-east-1.s3"},
    ],
)
def test_what_is_not_quite_such_an_endpoint_is_not_modelled(fields: dict[str, Any]) -> None:
    network = imported(with_endpoint(**fields))
    assert END in network.notes.not_modelled
    assert ask(network, INSTANCE, INSIDE, 443) in (END, LIST)


def test_an_endpoint_of_a_load_balancer_may_take_any_address() -> None:
    """Routes to one of a Gateway Load Balancer are the customer's: its lists hold what the customer likes."""
    network = imported(with_endpoint(listed=False, VpcEndpointType="GatewayLoadBalancer", RouteTableIds=[]))
    assert ask(network, INSTANCE, "192.168.1.1", 443) == LIST


def test_an_interface_endpoint_is_as_reachable_as_its_interfaces() -> None:
    """VPE-11, VPE-12: the groups of its interfaces decide; the endpoint itself is not modelled."""
    documents = site()
    eni = {"NetworkInterfaceId": "eni-e", "SubnetId": SUBNET, "VpcId": VPC, "PrivateIpAddress": "10.0.0.99", "RequesterManaged": True,
           "InterfaceType": "vpc_endpoint", "Groups": [{"GroupId": GROUP}], "SourceDestCheck": True,
           "Attachment": {"AttachmentId": "ela-attach-1", "InstanceOwnerId": "amazon-aws", "DeviceIndex": 1}}  # fmt: skip
    documents["interfaces"]["NetworkInterfaces"].append(eni)
    documents["endpoints"] = {"VpcEndpoints": [
        {"VpcEndpointId": END, "VpcEndpointType": "Interface", "VpcId": VPC, "ServiceName": "com.amazonaws.eu-west-1.ec2",
         "State": "available", "NetworkInterfaceIds": ["eni-e"], "RouteTableIds": []}
    ]}  # fmt: skip
    network = imported(documents)
    assert list(network.notes.not_modelled) == [END]
    assert [ask(network, INSTANCE, "10.0.0.99", port) for port in (80, 81)] == ["ok", "sg-ingress"]
    documents["interfaces"]["NetworkInterfaces"].remove(eni)
    assert ask(imported(documents), INSTANCE, "10.0.0.99", 80) == "eni-e", "never unreachable"


def test_endpoints_and_tables_must_agree() -> None:
    documents = with_endpoint()
    documents["endpoints"]["VpcEndpoints"][0]["RouteTableIds"] = []
    assert [p.element for p in imported(documents).notes.problems] == [END]
    documents = with_endpoint()
    documents["tables"]["RouteTables"][0]["Routes"].pop()
    assert [p.element for p in imported(documents).notes.problems] == [END]
    documents = with_endpoint(RouteTableIds=[TABLE, "rtb-9"])
    assert [p.element for p in imported(documents).notes.problems] == ["rtb-9"], "subnets may use it"


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, DENY_ALL), (json.dumps(AWSS_POLICY, indent=1), None), (OWN_POLICY, OWN_POLICY), ("{", "{")],
)
def test_policies_are_kept_as_they_are(given: str | None, kept: str | None) -> None:
    """VPE-07: AWS's own is none; one that cannot be read, or is not there, lets nothing through where it is enforced."""
    assert imported(with_endpoint(PolicyDocument=given)).world.all(VPC_ENDPOINT)[0].policy == kept


def test_a_list_of_ours_needs_no_recording() -> None:
    ours = service_list("eu-west-1", "s3")
    assert ours is not None
    documents = with_endpoint(listed=False)
    documents["tables"]["RouteTables"][0]["Routes"][-1]["DestinationPrefixListId"] = ours.id
    network = imported(documents)
    assert network.notes.whole, network.notes.view()
    assert ask(network, NEIGHBOUR, str(ours.entries[0].cidr[1]), 443) == "ok"


# ---------------------------------------------------------------------- enforced
def enforced(network: Network) -> Network:
    """As `up` makes it."""
    refuse(network.world)
    return Network(network.world.apply(put(PREFIX_LIST, *service_lists(network.world))), network.notes)


def refused(world: World) -> str:
    with pytest.raises(SettingsError) as problem:
        refuse(world)
    return str(problem.value)


def test_enforced_the_list_of_s3_holds_this_installations_addresses() -> None:
    """Under AWS's id, so that rules which name the list mean the same."""
    ours = service_list("eu-west-1", "s3")
    assert ours is not None
    here = str(ours.entries[0].cidr[1])
    documents = with_endpoint(listed=False)
    documents["groups"]["SecurityGroups"][0]["IpPermissionsEgress"] = [
        {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": LIST}]}
    ]
    network = imported(documents)
    assert ask(network, NEIGHBOUR, here, 443) == LIST
    served = enforced(network)
    assert served.world.get(PREFIX_LIST, LIST).name == S3
    assert ask(served, NEIGHBOUR, here, 443) == "ok"
    assert ask(served, INSTANCE, ELSEWHERE, 443) == "sg-egress"
    known = imported(with_endpoint())
    assert enforced(known).world.all(PREFIX_LIST) == known.world.all(PREFIX_LIST), "blocks that were recorded stay"


def test_enforced_the_list_of_a_service_that_is_not_served_is_empty() -> None:
    documents = with_endpoint(ServiceName=DYNAMODB, listed=False)
    served = enforced(imported(documents))
    assert served.world.get(PREFIX_LIST, LIST).entries == ()
    assert ask(served, INSTANCE, ELSEWHERE, 443) == "ok"


def test_routes_that_are_not_known_are_not_enforced() -> None:
    """Packets would take other ways than in the network: past an appliance, say."""
    documents = site()
    documents["tables"]["RouteTables"][0]["Routes"].append(
        {"DestinationPrefixListId": "pl-9", "NetworkInterfaceId": ENI}
    )
    assert f"pl-9: it adds routes to {TABLE}" in refused(imported(documents).world)
    documents["tables"]["RouteTables"][0]["Routes"][-1] = {"DestinationPrefixListId": "pl-9", "GatewayId": IGW}
    assert "pl-9" in refused(imported(documents).world)


def test_rules_that_are_not_known_let_nothing_through_when_enforced() -> None:
    documents = site()
    documents["groups"]["SecurityGroups"][0]["IpPermissions"] = [
        {"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-9"}]}
    ]
    network = imported(documents)
    assert ask(network, INSTANCE, NEIGHBOUR, 80) == "pl-9"
    refuse(network.world)
    group = network.world.get(SECURITY_GROUP, GROUP)
    assert [rule.prefix_list_id for rule in group.ingress_rules] == ["pl-9"], "its place is kept: the API shows it"


# ---------------------------------------------------------------------- Terraform
def plan(**attributes: Any) -> Plan:
    """Two endpoints of one service: one that names its tables itself, one by a resource of its own."""
    made = base().add("aws_vpc_endpoint.s3", vpc_id=ref("aws_vpc.main"), service_name=S3, **attributes)
    made.add("aws_subnet.b", vpc_id=ref("aws_vpc.main"), cidr_block="10.0.2.0/24")
    made.add("aws_route_table.b", vpc_id=ref("aws_vpc.main"))
    made.add("aws_route_table_association.b", subnet_id=ref("aws_subnet.b"), route_table_id=ref("aws_route_table.b"))
    made.add("aws_instance.b", subnet_id=ref("aws_subnet.b"), vpc_security_group_ids=ref("aws_security_group.web"))
    made.add("aws_vpc_endpoint_route_table_association.b", vpc_endpoint_id=ref("aws_vpc_endpoint.s3"),
             route_table_id=ref("aws_route_table.b"))  # fmt: skip
    return made


def test_a_plan_with_an_endpoint() -> None:
    network = plan(route_table_ids=ref("aws_route_table.public")).read()
    names = network.notes.names
    (row,) = network.world.all(VPC_ENDPOINT)
    assert row.id == names["aws_vpc_endpoint.s3"]
    assert set(row.route_table_ids) == {names["aws_route_table.public"], names["aws_route_table.b"]}
    assert {ask(network, name, INSIDE, 443) for name in ("aws_instance.x", "aws_instance.b")} == {row.prefix_list_id}
    assert ask(network, "aws_instance.x", "aws_instance.b", 443) == "ok"
    served = enforced(network)
    assert invariants.check(served.world) == []
    ours = service_list("eu-west-1", "s3")
    assert ours is not None
    assert ask(served, "aws_instance.b", str(ours.entries[0].cidr[1]), 443) == "ok"


def test_a_document_that_tells_the_blocks() -> None:
    """As states do, and plans of what exists."""
    network = plan(id=END, prefix_list_id=LIST, cidr_blocks=BLOCKS, state="available", policy=OWN_POLICY).read()
    assert network.notes.whole, network.notes.view()
    (row,) = network.world.all(VPC_ENDPOINT)
    assert (row.id, row.policy, network.world.get(PREFIX_LIST, LIST).name) == (END, OWN_POLICY, S3)
    assert ask(network, "aws_instance.b", INSIDE, 443) == "ok"
    assert ask(network, "aws_instance.b", ELSEWHERE, 443) == "no-route"
    assert ask(network, "aws_instance.x", INSIDE, 443) == "ok", "by the internet gateway: its table has no such route"


def test_the_policy_is_a_resource_of_its_own() -> None:
    made = plan(policy=json.dumps(AWSS_POLICY))
    made.add("aws_vpc_endpoint_policy.p", vpc_endpoint_id=ref("aws_vpc_endpoint.s3"), policy=OWN_POLICY)
    assert made.read().world.all(VPC_ENDPOINT)[0].policy == OWN_POLICY


def test_a_policy_known_after_apply_lets_nothing_through() -> None:
    network = plan(policy={"references": ["data.aws_iam_policy_document.p"]}).read()
    assert "aws_vpc_endpoint.s3" in network.notes.not_modelled
    assert json.loads(network.world.all(VPC_ENDPOINT)[0].policy or "")["Statement"][0]["Effect"] == "Deny"


def test_tables_known_after_apply() -> None:
    """Every table of its VPC may lead to it, to public addresses."""
    network = plan(route_table_ids={"references": ["local.tables"]}).read()
    assert ask(network, "aws_instance.x", ELSEWHERE, 443) == network.notes.names["aws_vpc_endpoint.s3"]
    assert ask(network, "aws_instance.x", "aws_instance.b", 443) == "ok"
    assert "it adds routes" in refused(network.world)


def test_an_association_with_an_endpoint_that_is_elsewhere() -> None:
    made = base().add("aws_vpc_endpoint_route_table_association.a", vpc_endpoint_id="vpce-9",
                      route_table_id=ref("aws_route_table.public"))  # fmt: skip
    network = made.read()
    assert ask(network, "aws_instance.x", ELSEWHERE, 443).startswith("pl-")
    assert ask(network, "aws_instance.x", "aws_instance.y", 443) == "ok"


def test_a_rule_that_names_the_list_of_an_endpoint() -> None:
    made = plan(id=END, prefix_list_id=LIST, cidr_blocks=BLOCKS)
    made.add("aws_security_group.only", vpc_id=ref("aws_vpc.main"), name="only")
    listed = {"references": ["aws_vpc_endpoint.s3.prefix_list_id", "aws_vpc_endpoint.s3"]}
    made.add("aws_vpc_security_group_egress_rule.out", security_group_id=ref("aws_security_group.only"), ip_protocol="tcp",
             from_port=443, to_port=443, prefix_list_id=listed)  # fmt: skip
    made.add("aws_instance.o", subnet_id=ref("aws_subnet.b"), vpc_security_group_ids=ref("aws_security_group.only"))
    network = made.read()
    assert ask(network, "aws_instance.o", INSIDE, 443) == "ok"
    assert ask(network, "aws_instance.o", "aws_instance.x", 443) == "sg-egress"


def test_a_list_that_is_read_as_data() -> None:
    made = plan(prefix_list_id=LIST)
    values = {"id": LIST, "name": S3, "cidr_blocks": BLOCKS}
    data = {
        "address": "data.aws_prefix_list.s3",
        "mode": "data",
        "type": "aws_prefix_list",
        "name": "s3",
        "values": values,
    }
    made.root["resources"].append(data)
    network = made.read()
    assert network.notes.whole, network.notes.view()
    assert ask(network, "aws_instance.b", INSIDE, 443) == "ok"


def test_up_says_what_is_not_as_it_was() -> None:
    assert said(imported(with_endpoint())) == "all of it is enforced"
    assert said(imported(with_endpoint(listed=False))) == (
        f"lists that hold this installation's addresses of Amazon S3: {LIST}"
    )
    assert said(imported(with_endpoint(ServiceName=DYNAMODB, listed=False))) == (
        f"not modelled, nothing passes by them: {END}; lists that hold nothing, of services that are not served: {LIST}"
    )

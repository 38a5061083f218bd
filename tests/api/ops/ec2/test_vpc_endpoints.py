"""Gateway endpoints: what a request may say, and what becomes of route tables (VPE-01, VPE-02, VPE-04, VPE-07, VPE-16)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.api.ops.ec2.vpc_endpoints import POLICY_CHARACTERS
from ringfence.identity.document import DocumentKind, check
from ringfence.model.aws_prefix_lists import service_list
from ringfence.model.kinds import ROUTE_TABLE
from ringfence.model.nouns.routing import RouteTarget
from ringfence.model.nouns.vpc_endpoint import FULL_ACCESS
from tests.api.ops.harness import ACCOUNT, REGION, Api

S3 = f"com.amazonaws.{REGION}.s3"
LISTED = service_list(REGION, "s3")
ONE = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}


@pytest.fixture
def api() -> Api:
    return Api()


def endpoint(api: Api, vpc: str, *tables: str, **more: Any) -> str:
    made = api.call("CreateVpcEndpoint", VpcId=vpc, ServiceName=S3, RouteTableIds=list(tables), **more)
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def table(api: Api, vpc: str) -> str:
    return str(api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"])


def led(api: Api, *tables: str) -> list[str | None]:
    """Where each table's list of S3 leads."""
    assert LISTED is not None
    found = []
    for id in tables:
        routes = [route for route in api.world.get(ROUTE_TABLE, id).listed if route.prefix_list_id == LISTED.id]
        assert all(route.target is RouteTarget.GATEWAY_ENDPOINT for route in routes)
        found.append(routes[0].target_id if routes else None)
    return found


def shown(api: Api, **more: Any) -> list[Any]:
    return list(api.call("DescribeVpcEndpoints", **more)["VpcEndpoints"])


def test_vpe_01_and_07_an_endpoint_and_its_routes_come_and_go_together(api: Api) -> None:
    vpc = api.vpc()
    one, two, three = (table(api, vpc) for _ in range(3))
    id = endpoint(api, vpc, one, two, one)
    (row,) = shown(api)
    created = row.pop("CreationTimestamp")
    assert created.timestamp() == api.clock.now().timestamp()
    assert row == {
        "VpcEndpointId": id, "VpcEndpointType": "Gateway", "VpcId": vpc, "ServiceName": S3, "State": "available",
        "PolicyDocument": FULL_ACCESS, "RouteTableIds": [one, two], "SubnetIds": [], "Groups": [], "IpAddressType": "ipv4",
        "PrivateDnsEnabled": False, "RequesterManaged": False, "NetworkInterfaceIds": [], "DnsEntries": [], "Tags": [],
        "OwnerId": ACCOUNT, "ServiceRegion": REGION,
    }  # fmt: skip
    check(FULL_ACCESS, DocumentKind.ENDPOINT)
    assert led(api, one, two, three) == [id, id, None]
    api.call("ModifyVpcEndpoint", VpcEndpointId=id, AddRouteTableIds=[three], RemoveRouteTableIds=[one])
    assert led(api, one, two, three) == [None, id, id]
    assert shown(api)[0]["RouteTableIds"] == [two, three]
    assert api.error("DeleteRouteTable", RouteTableId=two) == "DependencyViolation"
    assert api.call("DeleteVpcEndpoints", VpcEndpointIds=[id]) == {"Unsuccessful": []}
    assert led(api, one, two, three) == [None] * 3
    api.call("DeleteRouteTable", RouteTableId=two)
    assert shown(api) == []


def test_vpe_01_the_route_of_an_endpoint_is_shown_and_cannot_be_edited(api: Api) -> None:
    vpc = api.vpc()
    one = table(api, vpc)
    id = endpoint(api, vpc, one)
    (row,) = api.call("DescribeRouteTables", RouteTableIds=[one])["RouteTables"]
    assert row["Routes"][-1] == {
        "DestinationPrefixListId": LISTED.id, "GatewayId": id, "Origin": "CreateRoute", "State": "active",
    }  # fmt: skip
    route = {"RouteTableId": one, "DestinationPrefixListId": LISTED.id}
    assert api.error("DeleteRoute", **route) == "InvalidParameterValue"
    assert api.error("ReplaceRoute", GatewayId=api.gateway(vpc), **route) == "InvalidParameterValue"
    assert led(api, one) == [id]


def test_vpe_02_one_endpoint_of_a_service_for_a_table_and_several_for_a_vpc(api: Api) -> None:
    vpc = api.vpc()
    one, two = table(api, vpc), table(api, vpc)
    first = endpoint(api, vpc, one)
    taken = {"VpcId": vpc, "ServiceName": S3, "RouteTableIds": [two, one]}
    assert api.error("CreateVpcEndpoint", **taken) == "RouteAlreadyExists"
    second = endpoint(api, vpc, two)
    assert led(api, one, two) == [first, second]
    assert api.error("ModifyVpcEndpoint", VpcEndpointId=first, AddRouteTableIds=[one]) == "RouteAlreadyExists"
    api.call("ModifyVpcEndpoint", VpcEndpointId=first, AddRouteTableIds=[one], RemoveRouteTableIds=[one])
    assert api.error("DeleteVpc", VpcId=vpc) == "DependencyViolation"
    unknown = "vpce-0123456789abcdef0"
    gone = api.call("DeleteVpcEndpoints", VpcEndpointIds=[first, unknown, first, second, "nonsense"])["Unsuccessful"]
    assert [(item["ResourceId"], item["Error"]["Code"]) for item in gone] == [
        (unknown, "InvalidVpcEndpointId.NotFound"), ("nonsense", "InvalidVpcEndpointId.Malformed"),
    ]  # fmt: skip


def test_vpe_01_no_route_operation_touches_the_route(api: Api) -> None:
    assert LISTED is not None
    vpc = api.vpc()
    held = table(api, vpc)
    id, gateway = endpoint(api, vpc, held), api.gateway(vpc)
    to_list = {"RouteTableId": held, "DestinationPrefixListId": LISTED.id}
    assert api.error("CreateRoute", **to_list, GatewayId=gateway) == "RouteAlreadyExists"
    assert api.error("ReplaceRoute", **to_list, GatewayId=gateway) == "InvalidParameterValue"
    assert api.error("DeleteRoute", **to_list) == "InvalidParameterValue"
    assert (
        api.error("CreateRoute", **{**to_list, "RouteTableId": table(api, vpc)}, VpcEndpointId=id)
        == "UnsupportedOperation"
    )
    shown = api.call("DescribeRouteTables", RouteTableIds=[held])["RouteTables"][0]["Routes"]
    assert {"DestinationPrefixListId": LISTED.id, "GatewayId": id, "Origin": "CreateRoute", "State": "active"} in shown
    by = [{"Name": "route.gateway-id", "Values": [id]}]
    assert [row["RouteTableId"] for row in api.call("DescribeRouteTables", Filters=by)["RouteTables"]] == [held]


def test_an_analysis_shows_the_endpoint(api: Api) -> None:
    """MON-17: as a component of the way there, and by AWS's code when it refuses."""
    vpc = api.vpc()
    subnet, held = api.subnet(vpc), table(api, vpc)
    api.call("AssociateRouteTable", RouteTableId=held, SubnetId=subnet)
    id = endpoint(api, vpc, held)
    eni = api.interface(subnet, api.group(vpc))

    def analysed(protocol: str, **port: int) -> Any:
        path = api.call("CreateNetworkInsightsPath", Source=eni, DestinationIp="198.18.0.65", Protocol=protocol, **port)
        begun = api.call(
            "StartNetworkInsightsAnalysis", NetworkInsightsPathId=path["NetworkInsightsPath"]["NetworkInsightsPathId"]
        )
        wanted = [begun["NetworkInsightsAnalysis"]["NetworkInsightsAnalysisId"]]
        return api.call("DescribeNetworkInsightsAnalyses", NetworkInsightsAnalysisIds=wanted)[
            "NetworkInsightsAnalyses"
        ][0]

    there = analysed("tcp", DestinationPort=443)
    assert there["NetworkPathFound"] is True
    last = there["ForwardPathComponents"][-1]
    assert last["Component"]["Id"] == id
    assert last["InboundHeader"]["DestinationAddresses"] == ["198.18.0.65/32"]
    assert there["ReturnPathComponents"]
    refused = analysed("tcp", DestinationPort=80)
    assert refused["NetworkPathFound"] is False
    assert [each["ExplanationCode"] for each in refused["Explanations"]] == ["VPCE_GATEWAY_PROTOCOL_RESTRICTION"]
    assert refused["Explanations"][0]["VpcEndpoint"]["Id"] == id


def test_access_scopes_find_the_way_to_the_endpoint(api: Api) -> None:
    """Network Access Analyzer: as an end, by type and by id, and not where nothing leads to it."""
    vpc = api.vpc()
    near, away = api.subnet(vpc), api.subnet(vpc, "10.0.1.0/24")
    held = table(api, vpc)
    api.call("AssociateRouteTable", RouteTableId=held, SubnetId=near)
    id, group = endpoint(api, vpc, held), api.group(vpc)
    eni = api.interface(near, group)
    api.interface(away, group)

    def found(statement: dict[str, Any]) -> list[Any]:
        match = [{"Destination": {"ResourceStatement": statement}}]
        made = api.call("CreateNetworkInsightsAccessScope", ClientToken="c", MatchPaths=match)
        scope = {"NetworkInsightsAccessScopeId": made["NetworkInsightsAccessScope"]["NetworkInsightsAccessScopeId"]}
        begun = api.call("StartNetworkInsightsAccessScopeAnalysis", ClientToken="c", **scope)
        wanted = begun["NetworkInsightsAccessScopeAnalysis"]["NetworkInsightsAccessScopeAnalysisId"]
        told = api.call("GetNetworkInsightsAccessScopeAnalysisFindings", NetworkInsightsAccessScopeAnalysisId=wanted)
        return [each["FindingComponents"] for each in told["AnalysisFindings"]]

    for statement in ({"ResourceTypes": ["AWS::EC2::VPCEndpoint"]}, {"Resources": [id]}):
        ways = found(statement)
        assert {(way[0]["Component"]["Id"], way[-1]["Component"]["Id"]) for way in ways} == {(eni, id)}
        asked = [way[0]["OutboundHeader"] for way in ways]
        assert {header["Protocol"] for header in asked} == {"6", "1"}
        assert [header["DestinationPortRanges"] for header in asked if header["Protocol"] == "6"] == [
            [{"From": 443, "To": 443}]
        ]
    assert found({"ResourceTypes": ["AWS::EC2::InternetGateway"]}) == []


def test_vpe_07_policies(api: Api) -> None:
    vpc = api.vpc()
    text = json.dumps({"Statement": [ONE]})
    id = endpoint(api, vpc, PolicyDocument=text)
    held = lambda: shown(api, VpcEndpointIds=[id])[0]["PolicyDocument"]  # noqa: E731
    assert held() == text
    api.call("ModifyVpcEndpoint", VpcEndpointId=id, ResetPolicy=True)
    assert held() == FULL_ACCESS
    api.call("ModifyVpcEndpoint", VpcEndpointId=id, PolicyDocument=text)
    assert held() == text
    api.call("ModifyVpcEndpoint", VpcEndpointId=id)
    assert held() == text
    both = {"PolicyDocument": text, "ResetPolicy": True}
    assert api.error("ModifyVpcEndpoint", VpcEndpointId=id, **both) == "InvalidParameterCombination"
    without = {name: value for name, value in ONE.items() if name != "Principal"}
    room = POLICY_CHARACTERS - len(json.dumps({"Id": "", "Statement": [ONE]}))
    fits, long = (json.dumps({"Id": "x" * size, "Statement": [ONE]}) for size in (room, room + 1))
    for bad in ("{", "[]", json.dumps({"Statement": [without]}), json.dumps({"Statement": []}), long):
        assert api.error("ModifyVpcEndpoint", VpcEndpointId=id, PolicyDocument=bad) == "InvalidPolicyDocument", bad
        assert api.error("CreateVpcEndpoint", VpcId=vpc, ServiceName=S3, PolicyDocument=bad) == "InvalidPolicyDocument"
    api.call("ModifyVpcEndpoint", VpcEndpointId=id, PolicyDocument=fits)
    assert len(held()) == POLICY_CHARACTERS


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ServiceName": "com.amazonaws.us-east-1.dynamodb"}, "InvalidServiceName"),
        ({"ServiceName": "com.amazonaws.eu-west-1.s3"}, "InvalidServiceName"),  # VPE-04
        ({"ServiceName": "s3"}, "InvalidServiceName"), ({"ServiceName": ""}, "MissingParameter"),
        ({"VpcEndpointType": "Interface"}, "UnsupportedOperation"), ({"VpcEndpointType": "Tunnel"}, "UnsupportedOperation"),
        ({"VpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound"), ({"VpcId": "x"}, "InvalidVpcID.Malformed"),
        ({"RouteTableIds": ["rtb-0123456789abcdef0"]}, "InvalidRouteTableID.NotFound"),
        ({"SubnetIds": ["subnet-0123456789abcdef0"]}, "InvalidParameter"), ({"PrivateDnsEnabled": True}, "InvalidParameter"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidParameter"), ({"ServiceRegion": "eu-west-1"}, "InvalidParameter"),
        ({"IpAddressType": "ipv6"}, "UnsupportedOperation"),
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]}, "InvalidParameter"),
    ],
)  # fmt: skip
def test_vpe_16_what_is_refused(api: Api, more: dict[str, Any], code: str) -> None:
    assert api.error("CreateVpcEndpoint", **({"VpcId": api.vpc(), "ServiceName": S3} | more)) == code


def test_tables_of_other_vpcs_and_of_gateways_take_no_endpoint(api: Api) -> None:
    """PL-12 for the latter."""
    vpc, other = api.vpc(), api.vpc("10.1.0.0/16")
    far, edge = table(api, other), table(api, vpc)
    api.call("AssociateRouteTable", RouteTableId=edge, GatewayId=api.gateway(vpc))
    id = endpoint(api, vpc)
    for wrong in (far, edge):
        assert api.error("ModifyVpcEndpoint", VpcEndpointId=id, AddRouteTableIds=[wrong]) == "InvalidParameter"
        assert api.error("ModifyVpcEndpoint", VpcEndpointId=id, RemoveRouteTableIds=[wrong]) == "InvalidParameter"
    assert api.error("ModifyVpcEndpoint", VpcEndpointId="vpce-0123456789abcdef0") == "InvalidVpcEndpointId.NotFound"
    assert api.error("DescribeVpcEndpoints", VpcEndpointIds=["vpce-0"]) == "InvalidVpcEndpointId.Malformed"


def test_a_table_with_an_endpoint_becomes_no_gateway_table(api: Api) -> None:
    """PL-12."""
    vpc = api.vpc()
    held = table(api, vpc)
    endpoint(api, vpc, held)
    gateway = api.gateway(vpc)
    assert api.error("AssociateRouteTable", RouteTableId=held, GatewayId=gateway) == "InvalidParameterValue"


def test_vpe_16_twenty_for_a_region() -> None:
    api = Api(quotas={"gateway-endpoints": 2})
    vpc = api.vpc()
    first = endpoint(api, vpc)
    endpoint(api, vpc)
    assert api.error("CreateVpcEndpoint", VpcId=vpc, ServiceName=S3) == "VpcEndpointLimitExceeded"
    api.call("DeleteVpcEndpoints", VpcEndpointIds=[first])
    endpoint(api, vpc)
    assert Api().limits["gateway-endpoints"] == 20


def test_filters_tags_and_pages(api: Api) -> None:
    vpc, other = api.vpc(), api.vpc("10.1.0.0/16")
    tags = {"TagSpecifications": [{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "a", "Value": "b"}]}]}
    one, two = endpoint(api, vpc, **tags), endpoint(api, other)
    cases = [
        ("service-name", S3, [one, two]), ("service-region", REGION, [one, two]), ("vpc-id", vpc, [one]),
        ("vpc-endpoint-id", two, [two]), ("vpc-endpoint-state", "available", [one, two]),
        ("vpc-endpoint-type", "Gateway", [one, two]), ("vpc-endpoint-type", "Interface", []),
        ("ip-address-type", "ipv4", [one, two]), ("tag:a", "b", [one]), ("tag-key", "a", [one]),
    ]  # fmt: skip
    for name, value, expected in cases:
        found = shown(api, Filters=[{"Name": name, "Values": [value]}])
        assert [row["VpcEndpointId"] for row in found] == expected, name
    assert api.error("DescribeVpcEndpoints", Filters=[{"Name": "colour", "Values": ["red"]}]) == "InvalidParameterValue"
    page = api.call("DescribeVpcEndpoints", MaxResults=1)
    assert [row["VpcEndpointId"] for row in page["VpcEndpoints"]] == [one]
    rest = shown(api, MaxResults=1, NextToken=page["NextToken"])
    assert [row["VpcEndpointId"] for row in rest] == [two]
    api.call("CreateTags", Resources=[two], Tags=[{"Key": "c", "Value": "d"}])
    assert shown(api, VpcEndpointIds=[two])[0]["Tags"] == [{"Key": "c", "Value": "d"}]


def test_the_services_there_are(api: Api) -> None:
    got = api.call("DescribeVpcEndpointServices")
    assert got["ServiceNames"] == [S3]
    (detail,) = got["ServiceDetails"]
    assert (detail["Owner"], detail["ServiceType"]) == ("amazon", [{"ServiceType": "Gateway"}])
    assert detail["BaseEndpointDnsNames"] == [f"s3.{REGION}.amazonaws.com"]
    for name, value, count in (("owner", "amazon", 1), ("service-type", "Interface", 0), ("service-name", S3, 1)):
        kept = api.call("DescribeVpcEndpointServices", Filters=[{"Name": name, "Values": [value]}])
        assert len(kept["ServiceDetails"]) == count
    assert (
        api.error("DescribeVpcEndpointServices", ServiceNames=["com.amazonaws.us-east-1.ec2"]) == "InvalidServiceName"
    )
    assert api.call("DescribeVpcEndpointServices", ServiceRegions=["eu-west-1"])["ServiceNames"] == []

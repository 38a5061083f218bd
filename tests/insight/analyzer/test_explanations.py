"""Every explanation code that can arise here, emitted (MON-17); and all elements that block, not the first."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ringfence.insight.analyzer as analyzer
from ringfence.model.kinds import (
    GAP,
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    SECURITY_GROUP,
    VPC_ENDPOINT,
)
from ringfence.model.nouns.gap import Gap
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.world import World, delete, put
from tests.api.ops.harness import ACCOUNT, Api, tcp
from tests.builders import (
    ANY,
    OPEN,
    acl,
    changed,
    egress,
    elastic_ip,
    elsewhere,
    entry,
    gateway,
    gateway_endpoint,
    group,
    host,
    ident,
    ingress,
    list_route,
    peer_group,
    peering,
    prefix_list,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    world,
)

IGW, OTHER_IGW = ident("igw", "igw"), ident("igw", "far")
PCX, VPCE = ident("pcx", "p"), ident("vpce", "s3")
V6 = "2001:db8:1"


def i(name: str) -> str:
    return ident("i", name)


def e(name: str) -> str:
    return ident("eni", name)


def site() -> World:
    """`open` answers TCP 80, 443 from anywhere; the other hosts each have one thing wrong, named after it."""
    return world(
        vpc(ipv6=[f"{V6}00::/56"]), gateway(),
        subnet("a", "10.0.0.0/24", ipv6=[f"{V6}00::/64"]), subnet("b", "10.0.1.0/24"),
        subnet("shut", "10.0.2.0/24", acl="shut"), subnet("dead", "10.0.3.0/24"), subnet("split", "10.0.4.0/24"),
        subnet("box", "10.0.5.0/24"), subnet("part", "10.0.6.0/24"),
        table("public", *to_gateway(), subnets=["a"]),
        table("dead", route(ANY, ident("igw", "gone")), subnets=["dead"]),
        table("split", route("203.0.113.0/24", IGW), route("198.51.100.0/24", e("box")), route("198.51.0.0/16", IGW),
              subnets=["split"]),
        table("boxed", route("10.0.1.0/24", e("box")), subnets=["part"]),
        table("main"),
        acl("shut", entry(90, ANY, "tcp", 80, allow=False), entry(100, ANY, "tcp", 443), entry(100, ANY, egress=True)),
        group("web", ingress(ANY, "tcp", 80), ingress(ANY, "tcp", 443), *OPEN), group("silent"),
        group("friends", ingress("web", "tcp", 443), *OPEN),
        host("open", "10.0.0.10", groups=["web"], ipv6=[f"{V6}00::10"], public="198.18.0.1"),
        host("private", "10.0.0.11", groups=["web"]), host("mute", "10.0.0.12", groups=["silent"]),
        host("friend", "10.0.1.13", subnet="b", groups=["friends"]),
        host("plain", "10.0.1.14", subnet="b", groups=["web"]),
        host("shut", "10.0.2.15", subnet="shut", groups=["web"]), host("dead", "10.0.3.16", subnet="dead", groups=["web"]),
        host("split", "10.0.4.17", subnet="split", groups=["web"], public="198.18.0.2"),
        host("off", "10.0.0.18", groups=["web"], state=InstanceState.STOPPED),
        host("box", "10.0.5.19", subnet="box", groups=["web"], check=False),
        host("part", "10.0.6.20", subnet="part", groups=["web"]),
        vpc("far", "10.9.0.0/16"), gateway("far", vpc="far"), subnet("far", "10.9.0.0/24", vpc="far"),
        host("far", "10.9.0.10", subnet="far", vpc="far"), gateway("loose", vpc=None),
        elastic_ip("198.18.0.77"),
        subnet("near", "10.0.8.0/24"), table("near", route("10.8.0.0/15", PCX), list_route("s3", ident("vpce", "s3")), subnets=["near"]),
        prefix_list("s3", "198.18.0.64/30"), gateway_endpoint("s3", "s3", ["near"]),
        host("near", "10.0.8.21", subnet="near", groups=["web"]),
        vpc("peer", "10.8.0.0/16"), subnet("peer", "10.8.0.0/24", vpc="peer"), group("peer", ingress(ANY), *OPEN, vpc="peer"),
        host("peer", "10.8.0.10", subnet="peer", vpc="peer", groups=["peer"]),
        host("down", "10.8.0.11", subnet="peer", vpc="peer", groups=["peer"], state=InstanceState.STOPPED),
        table("peer", route("10.0.0.0/16", PCX), vpc="peer"), peering("p", "main", "peer"),
    )  # fmt: skip


class Analyser(Api):
    def __init__(self, made: World | None = None) -> None:
        super().__init__()
        self.world = made or site()

    def analyse(self, source: str, destination: str | None = None, **given: Any) -> dict[str, Any]:
        """The analysis of a new path; keys that StartNetworkInsightsAnalysis takes go there."""
        started = {name: given.pop(name) for name in ("FilterInArns", "FilterOutArns") if name in given}
        path = {"Source": source, "Protocol": "tcp", "ClientToken": "c", **given}
        if destination is not None:
            path["Destination"] = destination
        made = self.call("CreateNetworkInsightsPath", **path)["NetworkInsightsPath"]["NetworkInsightsPathId"]
        done: dict[str, Any] = self.call(
            "StartNetworkInsightsAnalysis", NetworkInsightsPathId=made, ClientToken="c", **started
        )["NetworkInsightsAnalysis"]
        return done


def codes(done: dict[str, Any]) -> list[str]:
    return sorted(shown["ExplanationCode"] for shown in done.get("Explanations", ()))


def arn(noun: str, id: str) -> str:
    return f"arn:aws:ec2:us-east-1:{ACCOUNT}:{noun}/{id}"


def at(**filters: Any) -> dict[str, Any]:
    """Filters by their API names; ports as one number."""
    return {
        name: {"FromPort": value, "ToPort": value} if name.endswith("PortRange") else value
        for name, value in filters.items()
    }


#: (source, destination, what else is asked) -> the codes, all of them
ROWS: list[tuple[str, str | None, dict[str, Any], list[str]]] = [
    # groups and network ACLs
    (i("open"), i("private"), {"DestinationPort": 22}, ["ENI_SG_RULES_MISMATCH"]),
    (i("open"), i("mute"), {"DestinationPort": 80}, ["SG_HAS_NO_RULES"]),
    (i("mute"), i("open"), {"DestinationPort": 22}, ["ENI_SG_RULES_MISMATCH", "SG_HAS_NO_RULES"]),
    (i("open"), i("shut"), {"DestinationPort": 80}, ["SUBNET_ACL_RESTRICTION"]),
    (i("plain"), i("shut"), {"DestinationPort": 22}, ["ENI_SG_RULES_MISMATCH", "SUBNET_ACL_RESTRICTION"]),
    (i("shut"), i("plain"), {"FilterAtSource": at(SourcePortRange=40000, DestinationPortRange=80)},
     ["FILTER_AT_SOURCE_SOURCE_PORT_RANGE", "SUBNET_ACL_RESTRICTION"]),  # the answers
    # interfaces
    (i("open"), i("off"), {"DestinationPort": 80}, ["BAD_STATE"]),
    (i("open"), i("private"), {"DestinationPort": 80, "SourceIp": "10.0.9.9"},
     ["ENI_SOURCE_DEST_CHECK_RESTRICTION", "NO_POSSIBLE_DESTINATION"]),
    (i("open"), e("private"), {"DestinationIp": "10.0.0.12", "DestinationPort": 80},
     ["ENI_ADDRESS_RESTRICTION", "SG_HAS_NO_RULES"]),
    (i("open"), i("private"), {"DestinationIp": "10.7.0.1"},
     ["ENI_ADDRESS_RESTRICTION", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", "VPC_LOCAL_ROUTE_CIDR_RESTRICTION"]),
    # routes
    (i("plain"), IGW, {}, ["NO_ROUTE_TO_DESTINATION"]),
    (i("plain"), None, {"DestinationIp": "8.8.8.8"}, ["NO_ROUTE_TO_DESTINATION"]),
    (i("dead"), IGW, {}, ["BAD_STATE_ROUTE"]),
    (i("split"), IGW, {"DestinationIp": "8.8.8.8"}, ["CANNOT_ROUTE", "CANNOT_ROUTE", "NO_ROUTE_TO_DESTINATION"]),
    (i("split"), IGW, {"DestinationIp": "198.51.100.9", "DestinationPort": 22},
     ["CANNOT_ROUTE", "ENI_SG_RULES_MISMATCH", "MORE_SPECIFIC_ROUTE", "NO_ROUTE_TO_DESTINATION"]),
    (i("open"), None, {"DestinationIp": "10.0.0.99"}, ["NO_POSSIBLE_DESTINATION"]),
    (i("open"), None, {"DestinationIp": "10.0.0.2", "DestinationPort": 81}, ["PROTOCOL_RESTRICTION"]),
    (i("plain"), i("friend"), {"DestinationIp": "8.8.8.8"},
     ["ENI_ADDRESS_RESTRICTION", "NO_ROUTE_TO_DESTINATION", "VPC_LOCAL_ROUTE_CIDR_RESTRICTION"]),
    (i("part"), i("friend"), {"DestinationPort": 443}, ["ENI_SG_RULES_MISMATCH", "SG_REFERENCES_NOT_PRESERVED"]),
    # gateways
    (i("private"), IGW, {}, ["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"]),
    (IGW, i("private"), {"DestinationPort": 80},
     ["IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"]),
    (i("open"), IGW, {"DestinationIp": "192.168.1.1"}, ["IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"]),
    (i("open"), IGW, {"DestinationIp": "100.64.1.1"}, ["IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS"]),
    (IGW, i("open"), {"SourceIp": "192.168.1.1"},
     ["IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", "IGW_EXPECTS_PUBLIC_ADDRESS",
      "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS"]),
    (IGW, i("open"), {"SourceIp": "100.64.1.1"},
     ["IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS", "IGW_EXPECTS_PUBLIC_ADDRESS",
      "IGW_SOURCE_ADDRESS_NOT_IN_RFC6598_INGRESS"]),
    (IGW, i("open"), {"SourceIp": "10.0.0.11"}, ["GATEWAY_REJECTS_SPOOFED_TRAFFIC", "IGW_EXPECTS_PUBLIC_ADDRESS"]),
    (IGW, None, {"DestinationIp": "2001:db8:2::9"}, ["IGW_DESTINATION_ADDRESS_IN_VPC_CIDRS"]),
    # configuration
    (i("open"), i("far"), {"DestinationPort": 80},
     ["DISCONNECTED_VPCS", "ENI_SG_RULES_MISMATCH", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS",
      "NO_ROUTE_TO_DESTINATION"]),
    (i("box"), i("plain"), {"SourceIp": "10.0.0.11", "DestinationPort": 80}, ["NO_PATH"]),  # the answer goes elsewhere
    (ident("igw", "loose"), i("open"), {}, ["UNASSOCIATED_COMPONENT"]),
    (i("open"), None, {"DestinationIp": "10.0.0.10"}, ["UNSUPPORTED_COMPONENT"]),
    # peering
    (i("near"), None, {"DestinationIp": "10.9.5.5"}, ["PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"]),
    (i("near"), None, {"DestinationIp": "198.18.0.65", "DestinationPort": 80}, ["VPCE_GATEWAY_PROTOCOL_RESTRICTION"]),
    (i("near"), None, {"DestinationIp": "10.8.0.99"}, ["NO_POSSIBLE_DESTINATION"]),
    (i("near"), i("down"), {"DestinationPort": 80}, ["BAD_STATE"]),
    (i("peer"), i("near"), {"DestinationPort": 22}, ["ENI_SG_RULES_MISMATCH"]),
    (i("near"), PCX, {"DestinationIp": "10.9.5.5"}, ["PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"]),
    (i("plain"), PCX, {}, ["NO_ROUTE_TO_DESTINATION"]),
    (i("split"), PCX, {"DestinationPort": 22}, ["NO_ROUTE_TO_DESTINATION"]),
    (i("near"), PCX, {"FilterOutArns": [arn("vpc-peering-connection", PCX)]}, ["COMPONENT_FILTER_RESTRICTION_REMOVED_COMPONENT"]),
    (i("shut"), PCX, {"DestinationIp": "10.8.0.10"}, ["NO_ROUTE_TO_DESTINATION"]),
    (PCX, i("near"), {"DestinationPort": 22}, ["ENI_SG_RULES_MISMATCH"]),
    (PCX, i("near"), {"DestinationPort": 80, "SourceIp": "10.8.0.99"}, ["NO_PATH"]),  # nobody has it
    (PCX, i("near"), {"DestinationPort": 80, "SourceIp": "10.9.0.10"}, ["PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"]),
    (PCX, None, {"DestinationIp": "10.9.0.10"}, ["PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"]),
    (PCX, i("plain"), {"DestinationPort": 80}, ["NO_ROUTE_TO_DESTINATION"]),  # for the answer
    (PCX, i("far"), {}, ["DISCONNECTED_VPCS"]), (i("far"), PCX, {}, ["DISCONNECTED_VPCS"]),
    (PCX, IGW, {}, ["NO_PATH"]), (IGW, PCX, {}, ["NO_PATH"]), (PCX, VPCE, {}, ["NO_PATH"]),  # PCX-07
    # gateway endpoints
    (i("near"), VPCE, {"DestinationPort": 80}, ["VPCE_GATEWAY_PROTOCOL_RESTRICTION"]),
    (i("near"), VPCE, {"Protocol": "udp"}, ["VPCE_GATEWAY_PROTOCOL_RESTRICTION"]),
    (i("near"), VPCE, {"DestinationIp": "198.18.0.68", "DestinationPort": 443}, ["CANNOT_ROUTE", "NO_ROUTE_TO_DESTINATION"]),
    (i("plain"), VPCE, {}, ["NO_ROUTE_TO_DESTINATION"]), (i("peer"), VPCE, {}, ["NO_ROUTE_TO_DESTINATION"]),
    (VPCE, i("near"), {}, ["VPCE_INTRA_VPC_TRAFFIC"]), (VPCE, None, {"DestinationIp": "10.0.8.21"}, ["VPCE_INTRA_VPC_TRAFFIC"]),
    (VPCE, i("far"), {}, ["DISCONNECTED_VPCS"]), (VPCE, IGW, {}, ["NO_PATH"]),
    (VPCE, i("near"), {"Protocol": "udp", "SourceIp": "8.8.8.8"},
     ["VPCE_GATEWAY_EGRESS_SOURCE_ADDRESS_RESTRICTION", "VPCE_GATEWAY_PROTOCOL_RESTRICTION", "VPCE_INTRA_VPC_TRAFFIC"]),
    # filters
    (i("open"), i("private"), {"FilterInArns": [arn("internet-gateway", IGW)]}, ["COMPONENT_FILTER_RESTRICTION"]),
    (i("open"), i("private"), {"FilterOutArns": [arn("security-group", ident("sg", "web"))]},
     ["COMPONENT_FILTER_RESTRICTION_REMOVED_COMPONENT"]),
    (i("open"), i("private"), {"FilterAtSource": at(SourceAddress="10.0.9.9")},
     ["ENI_SOURCE_DEST_CHECK_RESTRICTION", "FILTER_AT_SOURCE_SOURCE_ADDRESS", "NO_POSSIBLE_DESTINATION"]),
    (i("open"), i("private"), {"FilterAtSource": at(DestinationPortRange=22)},
     ["ENI_SG_RULES_MISMATCH", "FILTER_AT_SOURCE_DESTINATION_PORT_RANGE"]),
    (i("open"), i("private"), {"FilterAtSource": at(DestinationAddress="10.0.0.99")},
     ["ENI_ADDRESS_RESTRICTION", "FILTER_AT_SOURCE_DESTINATION_ADDRESS", "NO_POSSIBLE_DESTINATION"]),
    (IGW, i("open"), {"FilterAtDestination": at(DestinationAddress="10.0.0.99")},
     ["ENI_ADDRESS_RESTRICTION", "FILTER_AT_DESTINATION_DESTINATION_ADDRESS", "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"]),
    (i("open"), i("private"), {"FilterAtDestination": at(SourceAddress="10.0.0.99")},
     ["FILTER_AT_DESTINATION_SOURCE_ADDRESS"]),
    (i("open"), i("private"), {"FilterAtDestination": at(DestinationPortRange=22)},
     ["ENI_SG_RULES_MISMATCH", "FILTER_AT_DESTINATION_DESTINATION_PORT_RANGE"]),
    (i("shut"), i("plain"), {"FilterAtDestination": at(SourcePortRange=40000, DestinationPortRange=80)},
     ["FILTER_AT_DESTINATION_SOURCE_PORT_RANGE", "SUBNET_ACL_RESTRICTION"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "destination", "given", "expected"), ROWS)
def test_the_codes(source: str, destination: str | None, given: dict[str, Any], expected: list[str]) -> None:
    done = Analyser().analyse(source, destination, **given)
    assert codes(done) == expected, done["Explanations"]
    assert done.get("NetworkPathFound") is (None if "UNSUPPORTED_COMPONENT" in expected else False)


def test_ends_that_have_gone() -> None:
    """NO_SOURCE_OR_DESTINATION, UNASSOCIATED_COMPONENT: a path outlives what it leads to."""
    api = Analyser()
    made = api.call(
        "CreateNetworkInsightsPath", Source=i("open"), Destination=i("private"), Protocol="tcp", ClientToken="c"
    )
    id = made["NetworkInsightsPath"]["NetworkInsightsPathId"]
    whole = api.world
    for change, code in (
        (delete(NETWORK_INTERFACE, e("private")), "UNASSOCIATED_COMPONENT"),
        (delete(NETWORK_INTERFACE, e("private")) + delete(INSTANCE, i("private")), "NO_SOURCE_OR_DESTINATION"),
        (delete(NETWORK_INTERFACE, e("open")) + delete(INSTANCE, i("open")), "NO_SOURCE_OR_DESTINATION"),
    ):
        api.world = whole.apply(change)
        done = api.call("StartNetworkInsightsAnalysis", NetworkInsightsPathId=id, ClientToken="c")
        assert codes(done["NetworkInsightsAnalysis"]) == [code]
        assert done["NetworkInsightsAnalysis"]["NetworkPathFound"] is False


def test_an_end_that_is_detached() -> None:
    api = Analyser()
    made = api.call("CreateNetworkInsightsPath", Source=IGW, Destination=i("open"), Protocol="tcp", ClientToken="c")
    found = api.world.get(INTERNET_GATEWAY, IGW)
    api.world = api.world.apply(put(INTERNET_GATEWAY, replace(found, vpc_id=None)))
    id = made["NetworkInsightsPath"]["NetworkInsightsPathId"]
    done = api.call("StartNetworkInsightsAnalysis", NetworkInsightsPathId=id, ClientToken="c")
    assert codes(done["NetworkInsightsAnalysis"]) == ["UNASSOCIATED_COMPONENT"]


def test_connections_and_endpoints_that_lead_nowhere() -> None:
    """BAD_STATE with the state, NO_SOURCE_OR_DESTINATION."""
    api = Analyser()
    ends = ((PEERING_CONNECTION, PCX), (VPC_ENDPOINT, VPCE))
    paths = [
        api.call("CreateNetworkInsightsPath", Source=i("near"), Destination=id, Protocol="tcp", ClientToken=id)
        for _, id in ends
    ]
    ids = [path["NetworkInsightsPath"]["NetworkInsightsPathId"] for path in paths]
    row = api.world.get(PEERING_CONNECTION, PCX)
    unused = gateway_endpoint("s3", "s3", [])
    whole = changed(api.world, table("near", subnets=["near"]), table("peer", vpc="peer"), unused)
    ended = put(PEERING_CONNECTION, replace(row, status=PeeringStatus.PENDING_ACCEPTANCE))
    for id, change, expected in (
        (ids[0], ended, {"ExplanationCode": "BAD_STATE", "State": "pending-acceptance"}),
        *(
            (id, delete(*end), {"ExplanationCode": "NO_SOURCE_OR_DESTINATION"})
            for id, end in zip(ids, ends, strict=True)
        ),
    ):
        api.world = whole.apply(change)
        done = api.call("StartNetworkInsightsAnalysis", NetworkInsightsPathId=id, ClientToken="c")[
            "NetworkInsightsAnalysis"
        ]
        (shown,) = done["Explanations"]
        assert expected.items() <= shown.items()
        assert done["NetworkPathFound"] is False


OTHER_SIDE = "444455556666"


def half_foreign(other: str = OTHER_SIDE) -> Analyser:
    """The connection's far VPC, and all that is in it, is another account's; `near` is let out by the far group alone, and in."""
    named = peer_group("peer", vpc="peer", over="p", owner=other)
    theirs = elsewhere(
        vpc("peer", "10.8.0.0/16"), subnet("peer", "10.8.0.0/24", vpc="peer"), table("peer", route("10.0.0.0/16", PCX), vpc="peer"),
        group("peer", ingress(ANY), *OPEN, vpc="peer"), host("peer", "10.8.0.10", subnet="peer", vpc="peer", groups=["peer"]),
        host("down", "10.8.0.11", subnet="peer", vpc="peer", groups=["peer"], state=InstanceState.STOPPED), owner=other,
    )  # fmt: skip
    return Analyser(changed(
        site(), theirs, group("only", ingress(named, "tcp", 80), egress(named, "tcp", 443)),
        host("near", "10.0.8.21", subnet="near", groups=["only"]),
        peering("p", "main", "peer", owners=(ACCOUNT, other)),
    ))  # fmt: skip


@pytest.mark.parametrize(("source", "destination", "port"), [(i("near"), PCX, 443), (PCX, i("near"), 80)])
def test_groups_of_a_vpc_that_is_not_known_let_nothing_through(source: str, destination: str, port: int) -> None:
    """Reachability Analyzer guide: UNKNOWN_PEERED_SGS; and nothing of the other account is shown."""
    api = half_foreign()
    done = api.analyse(source, destination, DestinationPort=port)
    assert codes(done) == ["ENI_SG_RULES_MISMATCH", "UNKNOWN_PEERED_SGS"]
    (shown,) = (view for view in done["Explanations"] if view["ExplanationCode"] == "UNKNOWN_PEERED_SGS")
    assert (shown["SecurityGroup"]["Id"], shown["VpcPeeringConnection"]["Id"]) == (ident("sg", "only"), PCX)
    for name in ("peer", "down"):
        assert not [id for id in (i(name), e(name), ident("sg", name), ident("vpc", name)) if id in str(done)]
    # a rule that names no group is told as before
    assert codes(api.analyse(source, destination, DestinationPort=22)) == ["ENI_SG_RULES_MISMATCH"]
    # and in one account, the group is known
    assert half_foreign(ACCOUNT).analyse(source, destination, DestinationPort=port)["NetworkPathFound"] is True


def test_nor_do_they_on_the_way_to_an_address() -> None:
    """Whether who has an address there carries the group is not told either: of one that does, and one that nobody has."""
    api = half_foreign()
    told = [
        codes(api.analyse(i("near"), DestinationIp=address, DestinationPort=443))
        for address in ("10.8.0.10", "10.8.0.99")
    ]
    for found in told:
        assert {"ENI_SG_RULES_MISMATCH", "UNKNOWN_PEERED_SGS"} <= set(found)


def test_what_blocks_in_another_accounts_vpc_is_not_told() -> None:
    """Its network ACL lets nothing out: the path has no possible source, and that is all."""
    api = half_foreign()
    row = api.world.get(NETWORK_ACL, ident("acl", "peer"))
    api.world = api.world.apply(put(NETWORK_ACL, replace(row, entries=())))
    group = api.world.get(SECURITY_GROUP, ident("sg", "only"))
    api.call("AuthorizeSecurityGroupIngress", GroupId=group.id, IpPermissions=[tcp(8080)])
    done = api.analyse(PCX, i("near"), DestinationPort=8080)
    assert "NO_POSSIBLE_DESTINATION" in codes(done)
    assert not [id for id in (i("peer"), e("peer"), ident("acl", "peer"), ident("vpc", "peer")) if id in str(done)]


def test_connections_are_ends() -> None:
    """As AWS: the path begins, or ends, at the connection; every address beyond that the same rules let through is shown."""
    done = Analyser().analyse(i("near"), PCX)
    assert done["ForwardPathComponents"][0]["OutboundHeader"]["DestinationAddresses"] == ["10.8.0.0/16"]
    assert done["ForwardPathComponents"][-1]["Component"]["Id"] == PCX
    assert done["ReturnPathComponents"][0]["Component"]["Id"] == PCX
    assert [p["AclRule"]["Egress"] for p in done["ReturnPathComponents"] if "AclRule" in p] == [False]
    done = Analyser().analyse(PCX, i("near"), DestinationPort=80)
    first, last = done["ForwardPathComponents"][0], done["ReturnPathComponents"][-1]
    assert (first["Component"]["Id"], last["Component"]["Id"]) == (PCX, PCX)
    assert first["OutboundHeader"]["SourceAddresses"] == ["10.8.0.10/32"]  # `down` sends nothing
    assert not [part for part in done["ForwardPathComponents"] if part["Component"]["Id"] in (e("peer"), i("peer"))]


def test_an_endpoint_is_an_end() -> None:
    """Every address of the service, TCP 443 and no more; its answer begins at the endpoint."""
    done = Analyser().analyse(i("near"), VPCE)
    header = done["ForwardPathComponents"][0]["OutboundHeader"]
    assert header["DestinationAddresses"] == ["198.18.0.64/30"]
    assert header["DestinationPortRanges"] == [{"From": 443, "To": 443}]
    assert done["ForwardPathComponents"][-1]["Component"]["Id"] == VPCE
    assert done["ReturnPathComponents"][0]["Component"]["Id"] == VPCE
    assert done["ReturnPathComponents"][0]["OutboundHeader"]["SourcePortRanges"] == [{"From": 443, "To": 443}]
    assert Analyser().analyse(i("near"), VPCE, Protocol="icmp")["NetworkPathFound"] is True


def test_the_routers_services_bound_the_header() -> None:
    """What the resolver answers, whatever the rules."""
    done = Analyser().analyse(i("near"), DestinationIp="10.0.0.2", Protocol="udp")
    assert done["ForwardPathComponents"][0]["OutboundHeader"]["DestinationPortRanges"] == [{"From": 53, "To": 53}]


def test_a_path_to_a_peer_shows_the_connection() -> None:
    done = Analyser().analyse(i("near"), i("peer"), DestinationPort=80)
    assert done["NetworkPathFound"]
    for way, led_by in (("ForwardPathComponents", "near"), ("ReturnPathComponents", "peer")):
        shown = [part["Component"]["Id"] for part in done[way]]
        place = shown.index(PCX)
        assert shown[place - 1] == ident("rtb", led_by)
        part = done[way][place]
        assert part["InboundHeader"] == part["OutboundHeader"]
        (route_shown,) = (p["RouteTableRoute"] for p in done[way] if "RouteTableRoute" in p)
        assert route_shown["VpcPeeringConnectionId"] == PCX


def test_every_code_that_is_written_here_is_emitted_by_a_test() -> None:
    """The codes in the source are those of the table above, no more and no less."""
    folder = Path(str(analyzer.__file__)).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    # those of a form: FILTER_AT_{end}_{field}, IGW_…_{block}_…
    written = set(re.findall(r'"((?:[A-Z]+[0-9]*_)+[A-Z0-9]+)"', source)) - {
        "SOURCE_ADDRESS", "SOURCE_PORT_RANGE", "DESTINATION_ADDRESS", "DESTINATION_PORT_RANGE", "AVAILABILITY_ZONE_CROSSED",
    }  # fmt: skip
    written |= {f"IGW_DESTINATION_ADDRESS_NOT_IN_{block}_EGRESS" for block in ("RFC1918", "RFC6598")}
    written |= {f"IGW_SOURCE_ADDRESS_NOT_IN_{block}_INGRESS" for block in ("RFC1918", "RFC6598")}
    for end in ("SOURCE", "DESTINATION"):
        written |= {f"FILTER_AT_{end}_{field}_ADDRESS" for field in ("SOURCE", "DESTINATION")}
        written |= {f"FILTER_AT_{end}_{field}_PORT_RANGE" for field in ("SOURCE", "DESTINATION")}
    elsewhere = {"NO_SOURCE_OR_DESTINATION", "UNKNOWN_PEERED_SGS"}  # emitted by the tests above
    emitted = {code for *_, expected in ROWS for code in expected} | elsewhere
    assert written == emitted


def test_an_element_that_is_not_modelled_is_unknown_never_unreachable() -> None:
    """An imported network that lacks something: the analysis fails and names it; scopes say unknown."""
    gap = Gap(
        id="gap-1",
        owner_id=ACCOUNT,
        region="us-east-1",
        vpc_id=ident("vpc", "main"),
        element="nat-0123",
        why="not modelled",
    )
    api = Analyser(site().apply(put(GAP, gap)))
    done = api.analyse(i("open"), i("private"), DestinationPort=80)
    assert done["Status"] == "failed"
    assert "NetworkPathFound" not in done
    assert "nat-0123" in done["StatusMessage"]
    (shown,) = done["Explanations"]
    assert (shown["ExplanationCode"], shown["Component"]["Id"]) == ("UNSUPPORTED_COMPONENT", "nat-0123")
    everything = {"Source": {"ResourceStatement": {"Resources": [ident("vpc", "main")]}}}
    scope = api.call("CreateNetworkInsightsAccessScope", ClientToken="c", MatchPaths=[everything])
    id = scope["NetworkInsightsAccessScope"]["NetworkInsightsAccessScopeId"]
    looked = api.call("StartNetworkInsightsAccessScopeAnalysis", NetworkInsightsAccessScopeId=id, ClientToken="c")
    assert looked["NetworkInsightsAccessScopeAnalysis"]["FindingsFound"] == "unknown"
    assert "nat-0123" in looked["NetworkInsightsAccessScopeAnalysis"]["WarningMessage"]

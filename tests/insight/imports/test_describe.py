"""Recorded output: our own API's comes back as the same network; what is missing, damaged or not modelled is named."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence.insight.imports import snapshot
from ringfence.insight.imports.load import Network, load
from ringfence.insight.imports.notes import ImportProblem
from ringfence.insight.reach.report import Reporter
from ringfence.insight.reach.trace import trace_request
from ringfence.model import invariants
from ringfence.model.kinds import GAP, NETWORK_INTERFACE, PREFIX_LIST, ROUTE_TABLE, SECURITY_GROUP, VPC, VPC_ENDPOINT
from ringfence.model.nouns.routing import RouteTarget
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Group, Interface, Machine, RouteTable
from tests.differential.compare import Listed, Peered, Run
from tests.differential.generator import Site
from tests.insight.imports.recording import (
    ENI,
    GROUP,
    IGW,
    INSTANCE,
    NEIGHBOUR,
    OTHER,
    SUBNET,
    TABLE,
    Documents,
    imported,
    recorded,
    site,
)
from tests.insight.imports.recording import (
    VPC as VPC_ID,
)


def rules(world: World) -> dict[Any, Any]:
    """What decides about packets: the IR without numbers that are the installation's own, and what instances are told."""
    out = {}
    for key, fragment in compile_world(world).fragments.items():
        if isinstance(fragment, Interface | RouteTable):
            fragment = replace(fragment, number=1)
        elif isinstance(fragment, Machine):
            fragment = fragment.instance_id  # type: ignore[assignment]
        if isinstance(fragment, RouteTable):
            fragment = replace(fragment, routes=tuple(sorted(fragment.routes, key=str)))
        if isinstance(fragment, Group):  # their order has no meaning (SG-65)
            ingress, egress = (tuple(sorted(way, key=str)) for way in (fragment.ingress, fragment.egress))
            fragment = replace(fragment, ingress=ingress, egress=egress)
        out[key] = fragment
    return out


# ---------------------------------------------------------------------- our own
def ended(call: Any, chance: random.Random, site: Site) -> None:
    """Gateway endpoints for S3: one that some tables lead to, with a policy or none, and one that nothing leads to."""
    tables = [table for table in site.tables if chance.random() < 0.7]
    policy = {"PolicyDocument": json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                                                            "Resource": "*"}]})}  # fmt: skip
    service = {"VpcId": site.vpc, "ServiceName": "com.amazonaws.us-east-1.s3"}
    call("CreateVpcEndpoint", **service, RouteTableIds=tables, **(policy if chance.random() < 0.5 else {}))
    call("CreateVpcEndpoint", **service)


@pytest.mark.parametrize("seed", range(12))
def test_what_our_api_describes_comes_back(seed: int) -> None:
    """Random VPCs with IPv6, appliances, Elastic IPs, references and custom network ACLs, some with prefix lists or a peer, and
    with gateway endpoints (VPE-01, VPE-07); recorded and read again."""
    run = (Run, Listed, Peered)[seed % 3](seed)
    ended(run.api.call, run.chance, run.site)
    network = imported(recorded(run.api.call))
    assert network.notes.whole, network.notes.view()
    assert invariants.check(network.world) == []
    assert rules(network.world) == rules(run.api.world)
    assert network.world.all(VPC_ENDPOINT) == run.api.world.all(VPC_ENDPOINT)
    mine, theirs = (Reporter().reach(world, {})["rows"] for world in (run.api.world, network.world))
    assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, theirs))


def test_files_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    """Any name, any depth, several lists in one file, pages in a list, a byte order mark, UTF-16 as PowerShell writes it."""
    documents = site()
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/x.json").write_text(
        json.dumps({**documents["vpcs"], **documents["subnets"], "ResponseMetadata": {}})
    )
    (tmp_path / "a/b/y.json").write_text(json.dumps([documents["groups"], documents["acls"]]), encoding="utf-8-sig")
    (tmp_path / "w.json").write_text(json.dumps(documents.pop("tables")), encoding="utf-16")
    for name in ("gateways", "instances", "interfaces"):
        (tmp_path / f"{name}.json").write_text(json.dumps(documents[name]))
    network = load(tmp_path)
    assert network.notes.whole, network.notes.view()
    assert network.world.get(VPC, VPC_ID).region == "eu-west-1", "told by the zones of its subnets"


def test_accounts_and_regions_of_directories(tmp_path: Path) -> None:
    for account, region, number in (("111111111111", "us-west-2", 1), ("222222222222", "ap-south-1", 2)):
        folder = tmp_path / account / region
        folder.mkdir(parents=True)
        record = {"VpcId": f"vpc-0000000000000000{number}", "CidrBlock": "10.0.0.0/16"}
        (folder / "vpcs.json").write_text(json.dumps({"Vpcs": [record]}))
    found = {(v.owner_id, v.region) for v in load(tmp_path).world.all(VPC)}
    assert found == {("111111111111", "us-west-2"), ("222222222222", "ap-south-1")}


def test_instances_alone_tell_of_their_interfaces() -> None:
    """Old recordings have no describe-network-interfaces."""
    documents = site()
    inside = documents.pop("interfaces")["NetworkInterfaces"]
    for instance, eni in zip(documents["instances"]["Reservations"][0]["Instances"], inside, strict=True):
        attachment = {k: v for k, v in eni.pop("Attachment").items() if k != "InstanceId"}
        instance["NetworkInterfaces"] = [{**eni, "Attachment": attachment}]
    network = imported(documents)
    assert network.notes.whole, network.notes.view()
    assert rules(network.world) == rules(imported(site()).world)


# ---------------------------------------------------------------------- what is asked
def ask(network: Network, source: str, destination: str, port: int, **more: Any) -> dict[str, Any]:
    request = {"source": source, "destination": destination, "port": port, **more}
    return trace_request(network.world, request)


def test_the_site_is_answered() -> None:
    network = imported(site())
    assert network.notes.whole
    assert ask(network, INSTANCE, NEIGHBOUR, 80)["outcome"] == "ok"
    assert ask(network, INSTANCE, NEIGHBOUR, 81)["dropped_at"] == "sg-ingress"
    assert ask(network, "internet:203.0.113.9", ENI, 80)["outcome"] == "ok"
    assert ask(network, "internet:203.0.113.9", OTHER, 80)["outcome"] == "dropped", "it has no public address"


Edit = Any


def _set(document: str, key: str, n: int = 0, **fields: Any) -> Edit:
    def edit(documents: Documents) -> None:
        documents[document][key][n].update(fields)

    return edit


def _route(**route: Any) -> Edit:
    def edit(documents: Documents) -> None:
        routes = documents["tables"]["RouteTables"][0]["Routes"]
        routes[:] = [r for r in routes if r["DestinationCidrBlock"] != route.get("DestinationCidrBlock")]
        routes.append(route)

    return edit


def _drop(name: str) -> Edit:
    return lambda documents: documents.pop(name)


_ANY = {"DestinationCidrBlock": "0.0.0.0/0"}
#: edit, source, destination, port, what is not known
UNKNOWN: dict[str, tuple[Edit, str, str, int, str]] = {
    "NAT gateway": (_route(**_ANY, NatGatewayId="nat-1"), INSTANCE, "8.8.8.8", 443, "nat-1"),
    "NAT gateway, on the way back": (_route(**_ANY, NatGatewayId="nat-1"), "internet:8.8.8.8", ENI, 80, "nat-1"),
    "peering": (_route(DestinationCidrBlock="10.9.0.0/16", VpcPeeringConnectionId="pcx-1"), INSTANCE, "10.9.0.1", 1, "pcx-1"),
    "transit gateway": (_route(DestinationCidrBlock="10.9.0.0/16", TransitGatewayId="tgw-1"), INSTANCE, "10.9.0.1", 1, "tgw-1"),
    "VPN gateway": (_route(DestinationCidrBlock="10.9.0.0/16", GatewayId="vgw-1"), INSTANCE, "10.9.0.1", 1, "vgw-1"),
    "endpoint": (_route(DestinationCidrBlock="10.9.0.0/16", GatewayId="vpce-1"), INSTANCE, "10.9.0.1", 1, "vpce-1"),
    "a target of tomorrow": (_route(DestinationCidrBlock="10.9.0.0/16", MagicId="m-1"), INSTANCE, "10.9.0.1", 1,
                             "a target among MagicId"),
    "a list of destinations": (_route(DestinationPrefixListId="pl-1", NatGatewayId="nat-1"), INSTANCE, "10.0.5.5", 1, "pl-1"),
    "a list of destinations, by an endpoint": (_route(DestinationPrefixListId="pl-1", GatewayId="vpce-1"), INSTANCE, "8.8.8.8", 1,
                                               "pl-1"),
    "a list in a rule": (_set("groups", "SecurityGroups", IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
                                                                          "PrefixListIds": [{"PrefixListId": "pl-2"}]}]),
                         INSTANCE, NEIGHBOUR, 443, "pl-2"),
    "no internet gateways": (_drop("gateways"), "internet:8.8.8.8", ENI, 80, IGW),
    "a target that was not recorded": (_route(**_ANY, NetworkInterfaceId="eni-9"), INSTANCE, "8.8.8.8", 443, "eni-9"),
    "no network ACLs": (_drop("acls"), INSTANCE, NEIGHBOUR, 81, SUBNET),
    "no route tables": (_drop("tables"), INSTANCE, NEIGHBOUR, 80, VPC_ID),
    "no groups": (_drop("groups"), INSTANCE, NEIGHBOUR, 80, GROUP),
    "no instances": (_drop("instances"), ENI, OTHER, 80, ENI),
    "an interface that no group filters": (_set("interfaces", "NetworkInterfaces", 1, Groups=[], InterfaceType="nat_gateway",
                                                Attachment=None), INSTANCE, OTHER, 80, OTHER),
    "Block Public Access": (_set("vpcs", "Vpcs", BlockPublicAccessStates={"InternetGatewayBlockMode": "block-ingress"}),
                            "internet:8.8.8.8", ENI, 80, VPC_ID),
    "a damaged rule": (_set("groups", "SecurityGroups", IpPermissions=[{"IpProtocol": "tcp", "FromPort": "x"}]), INSTANCE,
                       NEIGHBOUR, 80, GROUP),
    "a subnet outside its VPC": (_set("vpcs", "Vpcs", CidrBlock="10.1.0.0/16"), INSTANCE, NEIGHBOUR, 80, SUBNET),
    "one address twice": (_set("interfaces", "NetworkInterfaces", 1, PrivateIpAddress="10.0.0.10", PrivateIpAddresses=[]), INSTANCE,
                          "10.0.0.10", 80, OTHER),
    "an address outside its subnet": (_set("interfaces", "NetworkInterfaces", 1, PrivateIpAddress="10.0.7.7", PrivateIpAddresses=[]),
                                      INSTANCE, "10.0.7.7", 80, OTHER),
}  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_not_known_is_unknown_never_unreachable(case: str) -> None:
    edit, source, destination, port, component = UNKNOWN[case]
    documents = site()
    edit(documents)
    network = imported(documents)
    assert not network.notes.whole
    answer = ask(network, source, destination, port)
    assert (answer["outcome"], answer.get("unknown", {}).get("component")) == ("unknown", component), (
        network.notes.view()
    )
    assert component in json.dumps(network.notes.view())


@pytest.mark.parametrize("case", UNKNOWN)
def test_tables_say_so_too(case: str) -> None:
    """A pair, or an exposure, is never simply missing: what `trace` calls unknown has an unknown row."""
    edit, source, destination, _port, component = UNKNOWN[case]
    documents = site()
    edit(documents)
    world = imported(documents).world
    reporter = Reporter()
    outside = source.startswith("internet:") or not destination.startswith(("i-", "eni-", "10.0."))
    rows = (
        reporter.reach(world, {})["rows"]
        if not outside
        else reporter.exposure(world, {"outbound": not source.startswith("internet:")})["rows"]
    )
    if destination in ("10.9.0.1", "10.0.5.5"):
        return  # neither a pair of interfaces nor the internet
    if not world.all(NETWORK_INTERFACE):
        return
    assert component in {row["unknown"]["component"] for row in rows if "unknown" in row}


def test_a_list_in_a_rule_leaves_other_packets_known() -> None:
    documents = site()
    UNKNOWN["a list in a rule"][0](documents)
    documents["groups"]["SecurityGroups"][0]["IpPermissionsEgress"] = []
    network = imported(documents)
    assert ask(network, INSTANCE, NEIGHBOUR, 443)["dropped_at"] == "sg-egress", "refused before the list is asked"


def test_a_list_in_a_rule_leaves_other_services_known() -> None:
    """Those that another rule allows, and those that no rule is about."""
    documents = site()
    own = documents["groups"]["SecurityGroups"][0]["IpPermissions"]
    own.append({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": "pl-2"}]})
    network = imported(documents)
    assert ask(network, INSTANCE, NEIGHBOUR, 80)["outcome"] == "ok"
    assert ask(network, INSTANCE, NEIGHBOUR, 81)["dropped_at"] == "sg-ingress"
    assert ask(network, INSTANCE, NEIGHBOUR, 443)["unknown"]["component"] == "pl-2"
    assert ask(network, "internet:203.0.113.9", ENI, 80)["outcome"] == "ok"
    assert ask(network, "internet:203.0.113.9", ENI, 443)["unknown"]["component"] == "pl-2"


def test_a_list_with_its_entries_is_read() -> None:
    """describe-prefix-lists has AWS's own lists with their blocks."""
    documents = site()
    UNKNOWN["a list of destinations, by an endpoint"][0](documents)
    UNKNOWN["a list in a rule"][0](documents)
    documents["lists"] = {"PrefixLists": [
        {"PrefixListId": "pl-1", "PrefixListName": "com.amazonaws.eu-west-1.s3", "Cidrs": ["52.218.0.0/17"]},
        {"PrefixListId": "pl-2", "Cidrs": ["10.0.0.10/32"]},
    ]}  # fmt: skip
    network = imported(documents)
    assert ask(network, INSTANCE, NEIGHBOUR, 443)["outcome"] == "ok"
    assert ask(network, NEIGHBOUR, INSTANCE, 443)["dropped_at"] == "sg-ingress"
    assert ask(network, INSTANCE, "8.8.8.8", 443)["outcome"] == "ok"
    assert ask(network, INSTANCE, "52.218.1.1", 443)["unknown"]["component"] == "vpce-1"


def test_lists_are_read_with_the_entries_that_were_recorded(tmp_path: Path) -> None:
    """PL-08: `get-managed-prefix-list-entries` in a file that is named after the list, in one page or several; the rule and the
    route name the list."""
    documents = site()
    _route(DestinationPrefixListId="pl-1a", GatewayId=IGW)(documents)
    peers = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": "pl-2b"}]}
    _set("groups", "SecurityGroups", IpPermissions=[peers])(documents)
    managed = [{"PrefixListId": id, "PrefixListName": id, "AddressFamily": "IPv4", "MaxEntries": 9, "Version": 3,
                "OwnerId": "111122223333"} for id in ("pl-1a", "pl-2b")]  # fmt: skip
    documents["managed"] = {"PrefixLists": managed}
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    assert not load(tmp_path).notes.whole
    (tmp_path / "entries-pl-1a.json").write_text(json.dumps({"Entries": [{"Cidr": "9.9.9.0/24", "Description": "x"}]}))
    pages = [{"Entries": [{"Cidr": "10.0.0.10/32"}], "NextToken": "x"}, {"Entries": [{"Cidr": "10.9.0.0/16"}]}]
    (tmp_path / "entries-pl-2b.json").write_text(json.dumps(pages))
    network = load(tmp_path)
    assert network.notes.whole, network.notes.view()
    inside = ask(network, INSTANCE, NEIGHBOUR, 443)
    assert (inside["outcome"], inside["rule"]["peer"], inside["rule"]["entry"]) == ("ok", "pl-2b", "10.0.0.10/32")
    table = network.world.get(ROUTE_TABLE, TABLE)
    assert [(route.prefix_list_id, route.target_id) for route in table.listed] == [("pl-1a", IGW)]
    held = network.world.get(PREFIX_LIST, "pl-1a")
    assert (held.max_entries, held.version, held.owner_id) == (9, 3, "111122223333")
    assert snapshot.to_world(json.loads(snapshot.text(network.world))).all(PREFIX_LIST) == network.world.all(
        PREFIX_LIST
    )


def test_routes_keep_what_they_lead_to() -> None:
    documents = site()
    _route(**_ANY, NatGatewayId="nat-1")(documents)
    routes = imported(documents).world.get(ROUTE_TABLE, TABLE).routes
    assert [(r.target, r.target_id) for r in routes] == [(RouteTarget.UNMODELLED, "nat-1")]


# ---------------------------------------------------------------------- the report
def test_unknown_fields_and_lists_are_named() -> None:
    documents = site()
    documents["vpcs"]["Vpcs"][0]["Colour"] = "blue"
    documents["groups"]["SecurityGroups"][0]["IpPermissions"][0]["Weekday"] = 1
    documents["instances"]["Reservations"][0]["Mood"] = "good"
    documents["instances"]["Reservations"][0]["Instances"][0]["Shoe"] = {"Size": 44}
    documents["new"] = {"Vpcs": [], "Teleporters": [{"Id": 1}, {"Id": 2}]}
    documents["else"] = {"hello": "world"}
    notes = imported(documents).notes
    assert notes.unknown_fields == {
        "Vpcs.Colour": 1, "SecurityGroups.IpPermissions.Weekday": 1, "Reservations.Mood": 1, "Reservations.Instances.Shoe": 1,
    }  # fmt: skip
    assert notes.unknown_resources == {"Teleporters": 2, "the file else": 1}


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["vpcs"].update(NextToken="more"),
        lambda d: d.update(broken="it is no JSON: line 1"),
        lambda d: d["vpcs"]["Vpcs"].append("vpc-2"),
        lambda d: d["vpcs"]["Vpcs"].append({**d["vpcs"]["Vpcs"][0], "CidrBlock": "10.0.0.0/8"}),
    ],
)
def test_a_part_that_is_missing_makes_everything_unknown(edit: Edit) -> None:
    documents = site()
    edit(documents)
    network = imported(documents)
    assert not network.notes.whole
    assert network.world.all(GAP)
    assert ask(network, INSTANCE, NEIGHBOUR, 80)["outcome"] == "unknown"


def test_the_same_record_twice_is_no_problem() -> None:
    documents = site()
    documents["again"] = documents["vpcs"]
    assert imported(documents).notes.whole


def test_an_interface_left_out_is_not_reported_unreachable() -> None:
    """Its VPC was not recorded; a packet from outside to its public address might arrive."""
    documents = site()
    documents["interfaces"]["NetworkInterfaces"][0].update(SubnetId="subnet-9", VpcId="vpc-9")
    network = imported(documents)
    assert [each.element for each in network.notes.left_out] == [ENI]
    assert ask(network, "internet:203.0.113.9", "54.1.2.3", 80)["unknown"]["component"] == ENI


def test_ec2_classic_is_left_out() -> None:
    documents = site()
    documents["groups"]["SecurityGroups"].append({"GroupId": "sg-9", "GroupName": "old", "IpPermissions": []})
    notes = imported(documents).notes
    assert [(p.element, p.why) for p in notes.left_out] == [("sg-9", "EC2-Classic is not modelled")]


def test_delegated_prefixes_are_addresses() -> None:
    documents = site()
    documents["interfaces"]["NetworkInterfaces"][1]["Ipv4Prefixes"] = [{"Ipv4Prefix": "10.0.0.32/28"}]
    network = imported(documents)
    assert network.notes.whole
    assert ask(network, INSTANCE, "10.0.0.47", 80)["outcome"] == "ok"


def test_rules_recorded_at_another_time_are_a_problem() -> None:
    documents = site()
    documents["rules"] = {"SecurityGroupRules": [
        {"SecurityGroupRuleId": "sgr-1", "GroupId": GROUP, "IsEgress": False, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
         "CidrIpv4": "0.0.0.0/0"}
    ]}  # fmt: skip
    network = imported(documents)
    assert [p.element for p in network.notes.problems] == ["sgr-1"]


def test_rule_ids_are_kept() -> None:
    documents = site()
    documents["rules"] = {"SecurityGroupRules": [
        {"SecurityGroupRuleId": "sgr-1", "GroupId": GROUP, "IsEgress": False, "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80,
         "CidrIpv4": "0.0.0.0/0"}
    ]}  # fmt: skip
    group = imported(documents).world.get(SECURITY_GROUP, GROUP)
    assert group.ingress_rules[0].id == "sgr-1"


@pytest.mark.parametrize("document", [{}, [], {"Vpcs": "x"}, {"a": 1}, {"Vpcs": []}, "text", 7, None])
def test_nothing_to_import(document: Any) -> None:
    with pytest.raises(ImportProblem):
        imported({"x": document})


def test_igw_of_nobody_and_of_two() -> None:
    documents = site()
    documents["gateways"]["InternetGateways"] += [
        {"InternetGatewayId": "igw-2", "Attachments": []},
        {"InternetGatewayId": "igw-3", "Attachments": [{"VpcId": VPC_ID, "State": "available"}]},
    ]
    assert [p.element for p in imported(documents).notes.problems] == ["igw-3"]
    assert IGW != "igw-3"


def test_two_recordings_of_an_interface_must_agree() -> None:
    documents = site()
    eni = documents["interfaces"]["NetworkInterfaces"][0]
    instance = documents["instances"]["Reservations"][0]["Instances"][0]
    instance["NetworkInterfaces"] = [{**eni, "Attachment": {}}]
    assert imported(documents).notes.whole
    instance["NetworkInterfaces"] = [{**eni, "Attachment": {}, "Groups": [{"GroupId": "sg-other"}]}]
    assert [p.element for p in imported(documents).notes.problems] == [ENI]


def test_lists_are_told_of_twice() -> None:
    """describe-managed-prefix-lists tells of the lists of describe-prefix-lists, without their entries."""
    documents = site()
    UNKNOWN["a list in a rule"][0](documents)
    documents["managed"] = {
        "PrefixLists": [{"PrefixListId": "pl-2", "AddressFamily": "IPv4", "MaxEntries": 9, "Version": 1}]
    }
    documents["lists"] = {"PrefixLists": [{"PrefixListId": "pl-2", "Cidrs": ["10.0.0.10/32"]}]}
    network = imported(documents)
    assert network.notes.whole, network.notes.view()
    assert ask(network, INSTANCE, NEIGHBOUR, 443)["outcome"] == "ok"


def test_records_without_an_owner_are_of_their_vpc() -> None:
    world = imported(site()).world
    assert {row.owner_id for kind, row in world if kind is not GAP} == {"111122223333"}


def test_a_local_route_of_its_own_is_kept() -> None:
    """RT-17: a narrower local route beside one that leads elsewhere."""
    documents = site()
    _route(DestinationCidrBlock="10.0.0.0/16", NetworkInterfaceId=OTHER)(documents)
    _route(DestinationCidrBlock="10.0.7.0/24", GatewayId="local")(documents)
    routes = imported(documents).world.get(ROUTE_TABLE, TABLE).routes
    assert [(str(r.destination), r.target) for r in routes] == [
        ("0.0.0.0/0", RouteTarget.INTERNET_GATEWAY), ("10.0.0.0/16", RouteTarget.NETWORK_INTERFACE),
        ("10.0.7.0/24", RouteTarget.LOCAL),
    ]  # fmt: skip


def test_a_route_that_ec2_says_leads_nowhere_leads_nowhere() -> None:
    documents = site()
    _route(**_ANY, NetworkInterfaceId="eni-9", State="blackhole")(documents)
    network = imported(documents)
    assert network.notes.whole
    assert ask(network, INSTANCE, "8.8.8.8", 443)["dropped_at"] == "no-route"


def test_an_exposure_is_unknown_without_its_gateway() -> None:
    """Nothing of the internet side was recorded: no interface is called unexposed."""
    documents = site()
    del documents["gateways"], documents["acls"]
    rows = Reporter().exposure(imported(documents).world, {})["rows"]
    assert {row["interface"] for row in rows if "unknown" in row} == {ENI, OTHER}


def test_what_leaves_by_a_nat_gateway_alone_is_unknown_too() -> None:
    """An interface without a public address: it may speak to the internet all the same."""
    documents = site()
    _route(**_ANY, NatGatewayId="nat-1")(documents)
    rows = Reporter().exposure(imported(documents).world, {"outbound": True})["rows"]
    assert {row["interface"]: row["unknown"]["component"] for row in rows} == {ENI: "nat-1", OTHER: "nat-1"}


def test_pairs_with_what_is_not_modelled_are_unknown_both_ways() -> None:
    documents = site()
    UNKNOWN["an interface that no group filters"][0](documents)
    rows = Reporter().reach(imported(documents).world, {})["rows"]
    assert {(*row["from_groups"], "->", *row["to_groups"]) for row in rows if "unknown" in row} == {
        (GROUP, "->"), ("->", GROUP),
    }  # fmt: skip
    documents = site()
    UNKNOWN["a list in a rule"][0](documents)
    group = documents["groups"]["SecurityGroups"][0]
    documents["groups"]["SecurityGroups"].append(
        {**group, "GroupId": "sg-2", "GroupName": "plain", "IpPermissions": []}
    )
    documents["interfaces"]["NetworkInterfaces"][0]["Groups"] = [{"GroupId": "sg-2"}]
    rows = Reporter().reach(imported(documents).world, {})["rows"]
    assert {(row["from_groups"][0], row["to_groups"][0]) for row in rows if "unknown" in row} == {("sg-2", GROUP)}

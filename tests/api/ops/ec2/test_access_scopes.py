"""Network Access Analyzer's operations (MON-19, MON-20)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ringfence.api.ops.ec2 import access_scope_analyses, access_scopes
from ringfence.api.ops.registry import OPERATIONS
from ringfence.insight.analyzer import findings
from ringfence.model.kinds import (
    GAP,
    INSTANCE,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from ringfence.model.nouns.gap import Gap
from ringfence.model.world import World, delete, put
from tests.api.front import Front
from tests.api.ops.harness import ACCOUNT, REGION, Api
from tests.builders import ANY, ident
from tests.insight.analyzer.test_explanations import IGW, PCX, Analyser, arn, e, i

TYPES = {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::InternetGateway"]}}
INGRESS = {"MatchPaths": [{"Source": TYPES}]}


@pytest.fixture
def api() -> Analyser:
    return Analyser()


def create(api: Api, **content: Any) -> str:
    made = api.call("CreateNetworkInsightsAccessScope", ClientToken="c", **content)
    return str(made["NetworkInsightsAccessScope"]["NetworkInsightsAccessScopeId"])


def start(api: Api, scope: str) -> dict[str, Any]:
    done = api.call("StartNetworkInsightsAccessScopeAnalysis", NetworkInsightsAccessScopeId=scope, ClientToken="c")
    return done["NetworkInsightsAccessScopeAnalysis"]  # type: ignore[no-any-return]


def found(api: Api, **content: Any) -> list[list[dict[str, Any]]]:
    id = start(api, create(api, **content))["NetworkInsightsAccessScopeAnalysisId"]
    reply = api.call("GetNetworkInsightsAccessScopeAnalysisFindings", NetworkInsightsAccessScopeAnalysisId=id)
    return [finding["FindingComponents"] for finding in reply["AnalysisFindings"]]


def pairs(found: list[list[dict[str, Any]]]) -> set[tuple[str, str]]:
    return {(finding[0]["Component"]["Id"], finding[-1]["Component"]["Id"]) for finding in found}


def through(*ids: str) -> list[dict[str, Any]]:
    return [{"ResourceStatement": {"Resources": [id]}} for id in ids]


def resources(*ids: str) -> dict[str, Any]:
    return {"ResourceStatement": {"Resources": list(ids)}}


# ---------------------------------------------------------------------- scopes
def test_a_scope_and_its_content(api: Analyser) -> None:
    content = {"MatchPaths": [{"Source": TYPES}], "ExcludePaths": [{"Destination": resources(e("open"))}]}
    tags = [{"ResourceType": "network-insights-access-scope", "Tags": [{"Key": "Name", "Value": "n"}]}]
    made = api.call("CreateNetworkInsightsAccessScope", ClientToken="c", TagSpecifications=tags, **content)
    scope = made["NetworkInsightsAccessScope"]
    id = scope["NetworkInsightsAccessScopeId"]
    assert id.startswith("nis-0")
    assert scope == {
        "NetworkInsightsAccessScopeId": id, "NetworkInsightsAccessScopeArn": arn("network-insights-access-scope", id),
        "CreatedDate": api.clock.now(), "UpdatedDate": api.clock.now(), "Tags": [{"Key": "Name", "Value": "n"}],
    }  # fmt: skip
    whole = {"NetworkInsightsAccessScopeId": id, **content}
    assert made["NetworkInsightsAccessScopeContent"] == whole
    got = api.call("GetNetworkInsightsAccessScopeContent", NetworkInsightsAccessScopeId=id)
    assert got == {"NetworkInsightsAccessScopeContent": whole}
    assert api.call("DescribeNetworkInsightsAccessScopes")["NetworkInsightsAccessScopes"] == [scope]


HEADER = {"PacketHeaderStatement": {"Protocols": ["tcp"]}}


@pytest.mark.parametrize(
    "content",
    [{}, {"MatchPaths": []}, {"MatchPaths": [{}]}, {"ExcludePaths": [{"Source": TYPES}]},
     {"MatchPaths": [{"Source": {"ResourceStatement": {}}}]},
     {"MatchPaths": [{"Source": {"ResourceStatement": {"Resources": [IGW], "ResourceTypes": ["AWS::EC2::InternetGateway"]}}}]},
     {"MatchPaths": [{"Source": {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::Nothing"]}}}]},
     {"MatchPaths": [{"Source": resources("rtb-0123456789abcdef0")}]}, {"MatchPaths": [{"Source": resources("arn:aws:s3:::b")}]},
     {"MatchPaths": [{"Source": resources("arn:aws:resource-groups:us-east-1:123456789012:group/g")}]},
     {"MatchPaths": [{"Source": {"PacketHeaderStatement": {}}}]},
     *({"MatchPaths": [{"Source": {"PacketHeaderStatement": header}}]} for header in (
         {"SourceAddresses": ["10.0.0.0/33"]}, {"DestinationAddresses": ["somewhere"]}, {"SourcePorts": ["80-22"]},
         {"DestinationPorts": ["65536"]}, {"DestinationPorts": ["http"]}, {"Protocols": ["tpc"]}, {"Protocols": ["-1"]},
         {"Protocols": ["icmp"], "DestinationPorts": ["80"]},
         {"SourceAddresses": ["10.0.0.0/8"], "SourcePrefixLists": ["pl-0123456789abcdef0"]}))],
)  # fmt: skip
def test_scopes_that_are_refused(api: Analyser, content: dict[str, Any]) -> None:
    assert api.error("CreateNetworkInsightsAccessScope", ClientToken="c", **content) == "InvalidParameterValue"


def test_prefix_lists_that_do_not_exist(api: Analyser) -> None:
    header = {"PacketHeaderStatement": {"SourcePrefixLists": ["pl-0123456789abcdef0"]}}
    code = api.error("CreateNetworkInsightsAccessScope", ClientToken="c", MatchPaths=[{"Source": header}])
    assert code == "InvalidPrefixListID.NotFound"


def test_prefix_lists_mean_what_they_hold_when_asked(api: Analyser) -> None:
    """PL-08; one that is gone hides nothing."""
    made = api.call("CreateManagedPrefixList", PrefixListName="t", MaxEntries=5, AddressFamily="IPv4")["PrefixList"]
    id, arn = made["PrefixListId"], made["PrefixListArn"]
    entry = {"Source": {"PacketHeaderStatement": {"SourcePrefixLists": [arn]}, **TYPES}}
    match, exclude = create(api, MatchPaths=[entry]), create(api, **INGRESS, ExcludePaths=[entry])

    def count(scope: str) -> int:
        return len(_findings(api, scope))

    assert count(match) == 0
    everything = count(exclude)
    assert everything
    api.call("ModifyManagedPrefixList", PrefixListId=id, AddEntries=[{"Cidr": "0.0.0.0/0"}])
    assert count(match) == everything
    assert count(exclude) == 0
    api.call("DeleteManagedPrefixList", PrefixListId=id)
    assert (count(match), count(exclude)) == (everything, everything)


def _findings(api: Analyser, scope: str) -> list[Any]:
    id = start(api, scope)["NetworkInsightsAccessScopeAnalysisId"]
    reply = api.call("GetNetworkInsightsAccessScopeAnalysisFindings", NetworkInsightsAccessScopeAnalysisId=id)
    return list(reply["AnalysisFindings"])


def test_a_scope_goes_with_its_analyses(api: Analyser) -> None:
    id = create(api, **INGRESS)
    analysis = start(api, id)["NetworkInsightsAccessScopeAnalysisId"]
    assert api.call("DeleteNetworkInsightsAccessScope", NetworkInsightsAccessScopeId=id) == {
        "NetworkInsightsAccessScopeId": id
    }
    for action, name, missing in (
        ("GetNetworkInsightsAccessScopeContent", "NetworkInsightsAccessScopeId", id),
        ("StartNetworkInsightsAccessScopeAnalysis", "NetworkInsightsAccessScopeId", id),
        ("DeleteNetworkInsightsAccessScope", "NetworkInsightsAccessScopeId", id),
        ("GetNetworkInsightsAccessScopeAnalysisFindings", "NetworkInsightsAccessScopeAnalysisId", analysis),
        ("DeleteNetworkInsightsAccessScopeAnalysis", "NetworkInsightsAccessScopeAnalysisId", analysis),
    ):
        extra = {"ClientToken": "c"} if action.startswith("Start") else {}
        assert api.error(action, **{name: missing}, **extra) == f"Invalid{name}.NotFound"
        assert api.error(action, **{name: "x-1"}, **extra) == f"Invalid{name}.Malformed"


def test_quotas() -> None:
    api = Analyser()
    api.limits = Api(quotas={"access-scopes": 1, "access-scope-analyses": 1}).limits
    id = create(api, **INGRESS)
    assert (
        api.error("CreateNetworkInsightsAccessScope", ClientToken="c", **INGRESS)
        == "NetworkInsightsAccessScope.LimitExceeded"
    )
    start(api, id)
    code = api.error("StartNetworkInsightsAccessScopeAnalysis", NetworkInsightsAccessScopeId=id, ClientToken="c")
    assert code == "NetworkInsightsAccessScopeAnalysis.LimitExceeded"


def test_amazons_scopes_are_there_from_the_first_call_about_scopes() -> None:
    """MON-20; deleted ones do not come back."""
    front = Front()
    ec2 = front.client("ec2")
    scopes = ec2.describe_network_insights_access_scopes()["NetworkInsightsAccessScopes"]
    assert [scope["Tags"][0]["Value"] for scope in scopes] == list(access_scopes.AMAZON)
    for scope, content in zip(scopes, access_scopes.AMAZON.values(), strict=True):
        id = scope["NetworkInsightsAccessScopeId"]
        shown = ec2.get_network_insights_access_scope_content(NetworkInsightsAccessScopeId=id)
        assert shown["NetworkInsightsAccessScopeContent"]["MatchPaths"] == content["MatchPaths"]
        done = ec2.start_network_insights_access_scope_analysis(NetworkInsightsAccessScopeId=id)
        assert done["NetworkInsightsAccessScopeAnalysis"]["FindingsFound"] == "false"
        ec2.delete_network_insights_access_scope(NetworkInsightsAccessScopeId=id)
    assert ec2.describe_network_insights_access_scopes()["NetworkInsightsAccessScopes"] == []


# ---------------------------------------------------------------------- findings
def test_a_finding_has_the_shape_of_the_guides_example(api: Analyser) -> None:
    """Network Access Analyzer guide, "Step 3: Get the results": gateway, network ACL, group, interface."""
    header = {
        "PacketHeaderStatement": {"Protocols": ["tcp"], "DestinationPorts": ["80"], "SourceAddresses": ["0.0.0.0/0"]}
    }
    (finding,) = found(api, MatchPaths=[{"Source": {**TYPES, **header}, "Destination": resources(i("open"))}])
    assert [component["SequenceNumber"] for component in finding] == [1, 2, 3, 4]
    assert [component["Component"]["Id"].split("-")[0] for component in finding] == ["igw", "acl", "sg", "eni"]
    assert finding[0]["InboundHeader"]["DestinationAddresses"] == ["198.18.0.1/32"]
    assert finding[0]["OutboundHeader"]["DestinationAddresses"] == ["10.0.0.10/32"]
    assert finding[0]["InboundHeader"]["DestinationPortRanges"] == [{"From": 80, "To": 80}]
    assert finding[1]["AclRule"]["RuleNumber"] == 100
    assert finding[2]["SecurityGroupRule"]["Cidr"] == ANY
    assert finding[3]["AttachedTo"]["Id"] == i("open")


def test_scopes_of_the_guide(api: Analyser) -> None:
    """Its examples: between two subnets, from the internet but for a trusted block, to a group, to the internet."""
    between = [{"Source": resources(ident("subnet", "a")), "Destination": resources(ident("subnet", "b"))}]
    expected = {(e(a), e(b)) for a in ("open", "private", "mute") for b in ("plain", "friend")}
    assert pairs(found(api, MatchPaths=between)) == {pair for pair in expected if pair[0] != e("mute")}
    trusted = {"PacketHeaderStatement": {"SourceAddresses": ["8.0.0.0/7"]}}
    outside = found(api, MatchPaths=[{"Source": TYPES}], ExcludePaths=[{"Source": trusted}])
    # one way only: what `split` answers does not come back, and what is sent to it arrives all the same
    assert pairs(outside) == {(IGW, e("open")), (IGW, e("split"))}
    assert not any("8.0.0.0/7" in finding[0]["InboundHeader"]["SourceAddresses"] for finding in outside)
    group = [{"Source": TYPES, "Destination": resources(ident("sg", "web"))}]
    assert pairs(found(api, MatchPaths=group)) == {(IGW, e("open")), (IGW, e("split"))}
    assert pairs(found(api, MatchPaths=[{"Destination": TYPES}])) == {(e("open"), IGW), (e("split"), IGW)}
    assert (
        found(api, MatchPaths=[{"Destination": {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::NatGateway"]}}}])
        == []
    )


def test_through_an_appliance(api: Analyser) -> None:
    """A way by an appliance may be asked for, or left out."""
    ends = {"Source": resources(e("part")), "Destination": resources(e("plain"))}
    assert pairs(found(api, MatchPaths=[{**ends, "ThroughResources": through(e("box"))}])) == {(e("part"), e("plain"))}
    assert found(api, MatchPaths=[ends], ExcludePaths=[{"ThroughResources": through(e("box"))}]) == []
    assert found(api, MatchPaths=[{**ends, "ThroughResources": through(IGW)}]) == []


# ---------------------------------------------------------------------- peering connections
PEERING = {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::VPCPeeringConnection"]}}
#: `near` may send to the peer, and both may send to what listens on 80 and 443 there
_IN, _OUT = {(PCX, e("near")), (PCX, e("peer"))}, {(e("near"), PCX), (e("peer"), PCX)}
_ACROSS = {(e("near"), e("peer")), (e("peer"), e("near"))}
_ENDS = (e("near"), e("peer"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [({"Source": PEERING, "Destination": resources(*_ENDS)}, _IN), ({"Source": PEERING, "Destination": resources(e("off"))}, set()),
     ({"Source": resources(PCX), "Destination": resources(e("near"))}, {(PCX, e("near"))}),
     ({"Source": resources(arn("vpc-peering-connection", PCX)), "Destination": resources(*_ENDS)}, _IN),
     ({"Source": resources("pcx-0123456789abcdef0")}, set()), ({"Destination": resources("pcx-0123456789abcdef0")}, set()),
     ({"Destination": PEERING}, _OUT), ({"Destination": resources(PCX), "Source": resources(*_ENDS)}, _OUT),
     ({"Source": resources(e("open")), "Destination": PEERING}, set()),
     ({"Source": resources(e("near")), "ThroughResources": [PEERING]}, {(e("near"), e("peer")), (e("near"), PCX)}),
     *(({"Source": resources(*_ENDS), "Destination": resources(*_ENDS), "ThroughResources": [each]}, _ACROSS)
       for each in (PEERING, resources(PCX), resources(arn("vpc-peering-connection", PCX)))),
     ({"Source": TYPES, "ThroughResources": [PEERING]}, set()), ({"Source": PEERING, "Destination": TYPES}, set())],
)  # fmt: skip
def test_peering_connections(api: Analyser, path: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    """As ends, and on the way (PCX-05..PCX-07)."""
    assert pairs(found(api, MatchPaths=[path])) == expected


def test_what_a_peer_sends_in_begins_at_the_connection(api: Analyser) -> None:
    """The rules shown are this side's; headers and excludes as for other ends."""
    header = {
        "PacketHeaderStatement": {
            "Protocols": ["tcp"],
            "SourceAddresses": ["10.8.0.0/24"],
            "DestinationPorts": ["80-90"],
        }
    }
    path = {"Source": {**PEERING, **header}, "Destination": resources(e("near"))}
    (finding,) = found(api, MatchPaths=[path])
    assert [part["Component"]["Id"].split("-")[0] for part in finding] == ["pcx", "acl", "sg", "eni"]
    assert finding[0]["OutboundHeader"]["SourceAddresses"] == ["10.8.0.10/32"]
    assert finding[0]["OutboundHeader"]["DestinationPortRanges"] == [{"From": 80, "To": 80}]
    assert found(api, MatchPaths=[path], ExcludePaths=[{"ThroughResources": [PEERING]}]) == []
    other = {"PacketHeaderStatement": {"SourceAddresses": ["10.8.0.11"]}}  # nobody who runs has it
    assert found(api, MatchPaths=[{**path, "Source": {**PEERING, **other}}]) == []


def test_what_leaves_by_a_connection_ends_there(api: Analyser) -> None:
    """To any address of the peer's blocks, as behind a gateway: what is open there is not looked at."""
    header = {"PacketHeaderStatement": {"Protocols": ["tcp"]}}
    path = {"Source": resources(e("near")), "Destination": {**PEERING, **header}}
    (finding,) = found(api, MatchPaths=[path])
    assert [part["Component"]["Id"].split("-")[0] for part in finding] == ["eni", "sg", "acl", "rtb", "pcx"]
    assert finding[0]["OutboundHeader"]["DestinationAddresses"] == ["10.8.0.0/16"]


def test_nothing_of_another_accounts_vpc_is_shown() -> None:
    """Its interfaces, rules and elements that are not known: the connection stands for them."""
    theirs = {
        ident("vpc", "peer"),
        ident("subnet", "peer"),
        ident("sg", "peer"),
        ident("rtb", "peer"),
        e("peer"),
        i("peer"),
    }
    world = foreign_peer()
    for path, ends in (({"Source": PEERING}, PCX), ({"Destination": PEERING}, e("near"))):
        shown = found(Analyser(world), MatchPaths=[path])
        assert {finding[0]["Component"]["Id"] for finding in shown} == {ends}
        assert not any(id in json.dumps(shown) for id in theirs)
    gap = Gap(
        id="gap-1",
        owner_id="444455556666",
        region=REGION,
        vpc_id=ident("vpc", "peer"),
        element="nat-0123",
        why="not modelled",
    )
    api = Analyser(world.apply(put(GAP, gap)))
    done = start(api, create(api, MatchPaths=[{"Source": PEERING}]))
    assert (done["FindingsFound"], done["WarningMessage"].split()[0]) == ("unknown", PCX)
    assert "nat-0123" not in done["WarningMessage"]


def foreign_peer() -> World:
    """The site, its peer VPC another account's."""
    world = Analyser().world
    for kind in (VPC, SUBNET, SECURITY_GROUP, ROUTE_TABLE, NETWORK_INTERFACE, INSTANCE):
        rows = [row for row in world.all(kind) if ident("vpc", "peer") in (row.id, getattr(row, "vpc_id", None))]
        world = world.apply(put(kind, *(replace(row, owner_id="444455556666") for row in rows)))
    pcx = world.get(PEERING_CONNECTION, PCX)
    theirs = replace(pcx.accepter, owner_id="444455556666")
    return world.apply(put(PEERING_CONNECTION, replace(pcx, accepter=theirs)))


@pytest.mark.parametrize("side", ["Source", "Destination"])
def test_a_connection_that_is_not_known_leaves_the_answer_open(side: str) -> None:
    """One to a VPC that is not in an import is an element that is not modelled."""
    gap = Gap(
        id="gap-1", owner_id=ACCOUNT, region=REGION, vpc_id=ident("vpc", "main"), element="pcx-0123", why="not modelled"
    )
    api = Analyser(Analyser().world.apply(delete(PEERING_CONNECTION, PCX)).apply(put(GAP, gap)))
    done = start(api, create(api, MatchPaths=[{side: PEERING}]))
    assert (done["FindingsFound"], done["WarningMessage"].split()[0]) == ("unknown", "pcx-0123")


def test_amazons_scopes_see_peers(api: Analyser) -> None:
    for name, pair in (("AWS-VPC-Ingress", (PCX, e("near"))), ("AWS-VPC-Egress", (e("near"), PCX))):
        assert pair in pairs(found(api, **access_scopes.AMAZON[f"{name} (Amazon created)"]))


def test_every_protocol_matches_when_none_is_named(api: Analyser) -> None:
    """More than AWS, which looks at TCP and UDP only."""
    ends = {"Source": resources(e("open")), "Destination": TYPES}
    protocols = {finding[0]["OutboundHeader"]["Protocol"] for finding in found(api, MatchPaths=[ends])}
    assert {"6", "17", "1", "58"} <= protocols
    assert any("47" in text or "-" in text for text in protocols)
    only = {"PacketHeaderStatement": {"Protocols": ["udp"]}}
    protocols = {
        f[0]["OutboundHeader"]["Protocol"]
        for f in found(api, MatchPaths=[{**ends, "Source": {**ends["Source"], **only}}])
    }
    assert protocols == {"17"}


def test_findings_by_page_and_analyses_by_scope_and_time(api: Analyser) -> None:
    one, two = create(api, **INGRESS), create(api, MatchPaths=[{"Destination": TYPES}])
    first = start(api, one)
    api.clock.advance(60)
    second = start(api, two)
    assert first["FindingsFound"] == "true"
    assert first["AnalyzedEniCount"] == 15
    name = "NetworkInsightsAccessScopeAnalysisId"

    def described(**given: Any) -> list[str]:
        rows = api.call("DescribeNetworkInsightsAccessScopeAnalyses", **given)["NetworkInsightsAccessScopeAnalyses"]
        return [row[name] for row in rows]

    assert described(NetworkInsightsAccessScopeId=two) == [second[name]]
    assert described(AnalysisStartTimeBegin=second["StartDate"]) == [second[name]]
    assert described(AnalysisStartTimeEnd=first["StartDate"]) == [first[name]]
    whole = api.call("GetNetworkInsightsAccessScopeAnalysisFindings", **{name: first[name]})["AnalysisFindings"]
    ids, token = [], None
    while True:
        more = {"NextToken": token} if token else {}
        reply = api.call("GetNetworkInsightsAccessScopeAnalysisFindings", **{name: first[name]}, MaxResults=1, **more)
        ids += [finding["FindingId"] for finding in reply["AnalysisFindings"]]
        token = reply.get("NextToken")
        if token is None:
            break
    assert ids == [finding["FindingId"] for finding in whole]
    assert ids[0] == "AnalysisFinding-1"


def test_an_account_sees_its_own_interfaces_only() -> None:
    from tests.api.ops.ec2.test_network_insights import foreign

    api = foreign()
    everything = found(api, MatchPaths=[{"Source": resources(ident("vpc", "main"))}])
    assert not any(e("plain") in pair for pair in pairs(everything))


def test_a_world_without_paths() -> None:
    assert found(Analyser(World()), **INGRESS) == []


def test_an_analysis_is_worked_out_once_and_before_the_store_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front()
    ec2 = front.client("ec2")
    id = ec2.describe_network_insights_access_scopes()["NetworkInsightsAccessScopes"][0]["NetworkInsightsAccessScopeId"]
    locked: list[bool] = []

    def watched(*args: Any) -> Any:
        locked.append(
            front.store._lock.locked() if hasattr(front.store._lock, "locked") else front.store._lock._is_owned()
        )
        return findings.findings(*args)

    monkeypatch.setattr(access_scope_analyses, "findings", watched)
    for _ in range(2):
        ec2.start_network_insights_access_scope_analysis(NetworkInsightsAccessScopeId=id)
    assert locked == [False, False]
    assert len(ec2.describe_network_insights_access_scope_analyses()["NetworkInsightsAccessScopeAnalyses"]) == 2


def test_only_analyses_are_asked_twice() -> None:
    """An operation that is worked out before the lock runs twice: it must have no effects of its own."""
    import ringfence.app  # noqa: F401  every service

    twice = {operation.action for operation in OPERATIONS.values() if operation.mutating and operation.aside}
    assert twice == {"StartNetworkInsightsAnalysis", "StartNetworkInsightsAccessScopeAnalysis"}

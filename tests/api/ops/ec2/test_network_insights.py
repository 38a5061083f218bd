"""Reachability Analyzer's operations (MON-14 … MON-17): what is asked, what is shown, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ringfence.api.ops.ec2.network_insights_analyses import forgotten
from ringfence.api.ops.ec2.network_insights_paths import TRUSTED
from ringfence.model.kinds import ACCOUNT as ACCOUNTS
from ringfence.model.kinds import NETWORK_INSIGHTS_ANALYSIS, NETWORK_INTERFACE, ORGANIZATION
from ringfence.model.nouns.organization import Account, Organization, ServiceAccess
from ringfence.model.world import put
from tests.api.front import Front
from tests.api.ops.harness import ACCOUNT, Api, tcp
from tests.builders import changed, eni, peering
from tests.insight.analyzer.test_explanations import IGW, PCX, Analyser, arn, codes, e, half_foreign, i, site

OTHER = "999999999999"


@pytest.fixture
def api() -> Analyser:
    return Analyser()


def create(api: Api, **given: Any) -> dict[str, Any]:
    return api.call("CreateNetworkInsightsPath", ClientToken="c", **given)["NetworkInsightsPath"]  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- paths
def test_a_path_shows_what_was_asked(api: Analyser) -> None:
    specification = [{"ResourceType": "network-insights-path", "Tags": [{"Key": "Name", "Value": "p"}]}]
    made = create(
        api, Source=i("open"), Destination=arn("instance", i("private")), Protocol="tcp", DestinationPort=80,
        SourceIp="10.0.0.10", DestinationIp="10.0.0.11", TagSpecifications=specification,
    )  # fmt: skip
    id = made["NetworkInsightsPathId"]
    assert id.startswith("nip-0")
    assert made == {
        "NetworkInsightsPathId": id, "NetworkInsightsPathArn": arn("network-insights-path", id),
        "CreatedDate": api.clock.now(), "Source": i("open"), "SourceArn": arn("instance", i("open")),
        "Destination": i("private"), "DestinationArn": arn("instance", i("private")), "Protocol": "tcp",
        "SourceIp": "10.0.0.10", "DestinationIp": "10.0.0.11", "DestinationPort": 80,
        "Tags": [{"Key": "Name", "Value": "p"}],
    }  # fmt: skip
    assert api.call("DescribeNetworkInsightsPaths")["NetworkInsightsPaths"] == [made]


def test_filters_at_both_ends_are_shown_as_given(api: Analyser) -> None:
    at_source = {"SourceAddress": "10.0.0.10", "SourcePortRange": {"FromPort": 1024, "ToPort": 65535}}
    there = {"DestinationAddress": "10.0.0.11", "DestinationPortRange": {"FromPort": 80, "ToPort": 80}}
    made = create(
        api,
        Source=i("open"),
        Destination=i("private"),
        Protocol="tcp",
        FilterAtSource=at_source,
        FilterAtDestination=there,
    )
    assert made["FilterAtSource"] == at_source
    assert made["FilterAtDestination"] == there
    assert not {"SourceIp", "DestinationIp", "DestinationPort"} & set(made)


@pytest.mark.parametrize(
    ("given", "code"),
    [({"Source": i("none")}, "NetworkInsightsSource.NotFound"),
     ({"Destination": e("none")}, "NetworkInsightsDestination.NotFound"),
     ({"Source": arn("instance", i("open")).replace("us-east-1", "eu-west-1")}, "NetworkInsightsSource.NotFound"),
     ({"Source": "sg-0123456789abcdef0"}, "InvalidParameterValue"), ({"Source": "arn:aws:s3:::b"}, "InvalidParameterValue"),
     ({"Source": "tgw-0123456789abcdef0"}, "InvalidParameterValue"), ({"Destination": i("open")}, "InvalidParameterValue"),
     ({"Destination": None}, "MissingParameter"), ({"Protocol": "-1"}, "InvalidParameterValue"),
     ({"Protocol": "tpc"}, "InvalidParameterValue"), ({"Protocol": "256"}, "InvalidParameterValue"),
     ({"SourceIp": "10.0.0.256"}, "InvalidParameterValue"), ({"DestinationIp": "10.0.0.0/8"}, "InvalidParameterValue"),
     ({"DestinationIp": "fe80::1%eth0"}, "InvalidParameterValue"),
     ({"SourceIp": "10.0.0.10", "DestinationIp": "2001:db8::1"}, "InvalidParameterCombination"),
     ({"Protocol": "icmp", "DestinationPort": 80}, "InvalidParameterCombination"),
     ({"SourceIp": "10.0.0.10", "FilterAtSource": {"SourceAddress": "10.0.0.10"}}, "InvalidParameterCombination"),
     ({"DestinationPort": 80, "FilterAtSource": {"SourceAddress": "10.0.0.10"}}, "InvalidParameterCombination"),
     ({"DestinationIp": "10.0.0.11", "FilterAtDestination": {"SourceAddress": "10.0.0.10"}}, "InvalidParameterCombination"),
     ({"FilterAtSource": {"SourcePortRange": {"FromPort": 90, "ToPort": 80}}}, "InvalidParameterValue")],
)  # fmt: skip
def test_paths_that_are_refused(api: Analyser, given: dict[str, Any], code: str) -> None:
    whole = {"Source": i("open"), "Destination": i("private"), "Protocol": "tcp", "ClientToken": "c", **given}
    assert api.error("CreateNetworkInsightsPath", **{k: v for k, v in whole.items() if v is not None}) == code


def test_paths_by_filter_and_page(api: Analyser) -> None:
    one = create(api, Source=i("open"), Destination=i("private"), Protocol="tcp", DestinationPort=80)
    at_source = {"DestinationPortRange": {"FromPort": 1, "ToPort": 9}}
    two = create(api, Source=IGW, Destination=e("open"), Protocol="udp", FilterAtSource=at_source)

    def found(name: str, value: str) -> list[str]:
        reply = api.call("DescribeNetworkInsightsPaths", Filters=[{"Name": name, "Values": [value]}])
        return [path["NetworkInsightsPathId"] for path in reply["NetworkInsightsPaths"]]

    ids = [path["NetworkInsightsPathId"] for path in (one, two)]
    assert found("source", i("open")) == ids[:1]
    assert found("destination", e("open")) == ids[1:]
    assert found("protocol", "udp") == ids[1:]
    assert found("filter-at-source.destination-port-range", "80") == ids[:1]
    assert found("filter-at-source.destination-port-range", "1-9") == ids[1:]
    assert (
        api.error("DescribeNetworkInsightsPaths", Filters=[{"Name": "nope", "Values": ["x"]}])
        == "InvalidParameterValue"
    )
    first = api.call("DescribeNetworkInsightsPaths", MaxResults=1)
    assert [path["NetworkInsightsPathId"] for path in first["NetworkInsightsPaths"]] == ids[:1]
    rest = api.call("DescribeNetworkInsightsPaths", MaxResults=1, NextToken=first["NextToken"])
    assert [path["NetworkInsightsPathId"] for path in rest["NetworkInsightsPaths"]] == ids[1:]
    assert "NextToken" not in rest


def test_a_path_stays_while_it_has_analyses(api: Analyser) -> None:
    id = create(api, Source=i("open"), Destination=i("private"), Protocol="tcp")["NetworkInsightsPathId"]
    done = api.call("StartNetworkInsightsAnalysis", NetworkInsightsPathId=id, ClientToken="c")
    assert api.error("DeleteNetworkInsightsPath", NetworkInsightsPathId=id) == "AnalysisExistsForNetworkInsightsPath"
    analysis = done["NetworkInsightsAnalysis"]["NetworkInsightsAnalysisId"]
    gone = api.call("DeleteNetworkInsightsAnalysis", NetworkInsightsAnalysisId=analysis)
    assert gone == {"NetworkInsightsAnalysisId": analysis}
    assert api.call("DeleteNetworkInsightsPath", NetworkInsightsPathId=id) == {"NetworkInsightsPathId": id}
    for action, name, missing in (
        ("DeleteNetworkInsightsPath", "NetworkInsightsPathId", id),
        ("StartNetworkInsightsAnalysis", "NetworkInsightsPathId", id),
        ("DeleteNetworkInsightsAnalysis", "NetworkInsightsAnalysisId", analysis),
    ):
        noun = name.removesuffix("Id")
        extra = {"ClientToken": "c"} if action.startswith("Start") else {}
        assert api.error(action, **{name: missing}, **extra) == f"Invalid{noun}Id.NotFound"
        assert api.error(action, **{name: "x-1"}, **extra) == f"Invalid{noun}Id.Malformed"


def test_quotas() -> None:
    api = Analyser()
    api.limits = Api(quotas={"network-insights-paths": 1, "network-insights-analyses": 1}).limits
    id = create(api, Source=i("open"), Destination=i("private"), Protocol="tcp")["NetworkInsightsPathId"]
    again = {"Source": i("open"), "Destination": i("private"), "Protocol": "tcp", "ClientToken": "c"}
    assert api.error("CreateNetworkInsightsPath", **again) == "NetworkInsightsPath.LimitExceeded"
    api.call("StartNetworkInsightsAnalysis", NetworkInsightsPathId=id, ClientToken="c")
    code = api.error("StartNetworkInsightsAnalysis", NetworkInsightsPathId=id, ClientToken="c")
    assert code == "NetworkInsightsAnalysis.LimitExceeded"


# ---------------------------------------------------------------------- analyses
def _parts(components: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(kind of component, what it tells)."""
    telling = ("SecurityGroupRule", "AclRule", "RouteTableRoute", "OutboundHeader", "InboundHeader")
    return [(c["Component"]["Id"].split("-")[0], "+".join(name for name in telling if name in c)) for c in components]


def test_the_way_there_and_back(api: Analyser) -> None:
    """MON-14: hop by hop. On the way back stand the groups whose rules were asked (CT-04), not those that state admits by."""
    done = api.analyse(i("open"), i("plain"), DestinationPort=80)
    assert done["NetworkPathFound"] is True
    assert done["Status"] == "succeeded"
    assert "Explanations" not in done
    forward, back = done["ForwardPathComponents"], done["ReturnPathComponents"]
    assert _parts(forward) == [
        ("i", "OutboundHeader"), ("eni", "OutboundHeader"), ("sg", "SecurityGroupRule"), ("acl", "AclRule"),
        ("rtb", "RouteTableRoute"), ("acl", "AclRule"), ("sg", "SecurityGroupRule"), ("eni", "InboundHeader"),
        ("i", "InboundHeader"),
    ]  # fmt: skip
    assert [part for part, _ in _parts(back)] == ["i", "eni", "sg", "acl", "rtb", "acl", "eni", "i"]
    assert [c["SequenceNumber"] for c in forward] == list(range(1, 10))
    assert forward[0]["OutboundHeader"] == {
        "Protocol": "6", "SourceAddresses": ["10.0.0.10/32"], "DestinationAddresses": ["10.0.1.14/32"],
        "SourcePortRanges": [{"From": 0, "To": 65535}], "DestinationPortRanges": [{"From": 80, "To": 80}],
    }  # fmt: skip
    assert back[0]["OutboundHeader"]["DestinationAddresses"] == ["10.0.0.10/32"]
    assert back[0]["OutboundHeader"]["SourcePortRanges"] == [{"From": 80, "To": 80}]
    assert forward[1]["AttachedTo"]["Id"] == i("open")
    assert forward[1]["Subnet"]["Arn"].endswith(forward[1]["Subnet"]["Id"])
    assert forward[6]["SecurityGroupRule"] == {
        "Cidr": "0.0.0.0/0", "Direction": "ingress", "Protocol": "tcp", "PortRange": {"From": 80, "To": 80},
        "SecurityGroupId": forward[6]["Component"]["Id"],
    }  # fmt: skip
    assert forward[3]["AclRule"] == {
        "Cidr": "0.0.0.0/0", "Egress": True, "Protocol": "all", "RuleAction": "allow", "RuleNumber": 100,
    }  # fmt: skip
    assert forward[4]["RouteTableRoute"] == {
        "DestinationCidr": "10.0.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active",
    }  # fmt: skip


def test_through_the_internet_gateway(api: Analyser) -> None:
    """IGW-04: the gateway exchanges addresses; every outside address with the same rules is in the header."""
    done = api.analyse(IGW, i("open"), DestinationPort=443)
    first = done["ForwardPathComponents"][0]
    assert first["Component"]["Id"] == IGW
    assert first["InboundHeader"]["DestinationAddresses"] == ["198.18.0.1/32"]
    assert first["OutboundHeader"]["DestinationAddresses"] == ["10.0.0.10/32"]
    sources = first["InboundHeader"]["SourceAddresses"]
    assert "8.0.0.0/7" in sources
    assert not [block for block in sources if block.startswith(("10.", "192.168.", "172.16."))]
    last = done["ReturnPathComponents"][-1]
    assert last["Component"]["Id"] == IGW
    assert last["OutboundHeader"]["SourceAddresses"] == ["198.18.0.1/32"]


def test_ipv6_icmp_and_any_protocol(api: Analyser) -> None:
    """More than AWS: IPv4, TCP and UDP only."""
    done = api.analyse(i("open"), IGW, DestinationIp="2001:db8:2::9")
    assert done["ForwardPathComponents"][0]["OutboundHeader"]["SourceAddresses"] == ["2001:db8:100::10/128"]
    for protocol, number in (("icmp", "1"), ("47", "47")):
        header = api.analyse(i("open"), IGW, Protocol=protocol)["ForwardPathComponents"][0]["OutboundHeader"]
        assert header["Protocol"] == number
        assert "SourcePortRanges" not in header
    assert api.analyse(i("open"), IGW, Protocol="icmpv6")["NetworkPathFound"] is True
    assert codes(api.analyse(i("open"), i("private"), Protocol="icmp")) == ["ENI_SG_RULES_MISMATCH"]


def test_an_appliance_is_on_the_way(api: Analyser) -> None:
    """MON-15: an intermediate component can be asked for, or excluded."""
    box = arn("network-interface", e("box"))
    done = api.analyse(i("part"), i("plain"), DestinationPort=80, FilterInArns=[box])
    assert done["NetworkPathFound"] is True
    assert e("box") in [c["Component"]["Id"] for c in done["ForwardPathComponents"]]
    assert done["FilterInArns"] == [box]
    done = api.analyse(i("part"), i("plain"), DestinationPort=80, FilterOutArns=[box])
    assert codes(done) == ["COMPONENT_FILTER_RESTRICTION_REMOVED_COMPONENT"]
    assert done["Explanations"][0]["Component"] == {"Id": e("box"), "Arn": box}


def test_explanations_have_the_details(api: Analyser) -> None:
    """As in the CLI's recorded example of ENI_SG_RULES_MISMATCH, and the rule of the network ACL that denies."""
    mismatch = api.analyse(i("open"), i("private"), DestinationPort=22)["Explanations"][0]
    assert set(mismatch) == {"Direction", "ExplanationCode", "NetworkInterface", "SecurityGroups", "Subnet", "Vpc"}
    assert mismatch["Direction"] == "ingress"
    assert mismatch["NetworkInterface"]["Id"] == e("private")
    denied = api.analyse(i("open"), i("shut"), DestinationPort=80)["Explanations"][0]
    assert denied["AclRule"]["RuleNumber"] == 90
    assert denied["AclRule"]["RuleAction"] == "deny"
    final = api.analyse(i("open"), i("shut"), DestinationPort=8080)["Explanations"]
    assert [view["AclRule"]["RuleNumber"] for view in final if "AclRule" in view] == [32767]


def test_alternate_paths_are_hinted_at() -> None:
    """The instance's second interface would do as well."""
    second = eni("second", "10.0.0.30", groups=["web"], instance="open", device=1)
    done = Analyser(changed(site(), second)).analyse(i("open"), i("private"), DestinationPort=80)
    assert e("second") not in [c["Component"]["Id"] for c in done["ForwardPathComponents"]]
    hint = {"ComponentId": e("second"), "ComponentArn": arn("network-interface", e("second"))}
    assert hint in done["AlternatePathHints"]


def test_crossing_zones_is_told(api: Analyser) -> None:
    """Reachability Analyzer guide, "Additional detail codes"."""
    row = api.world.get(NETWORK_INTERFACE, e("plain"))
    api.world = api.world.apply(put(NETWORK_INTERFACE, replace(row, availability_zone="us-east-1b")))
    there = api.analyse(i("open"), e("plain"), DestinationPort=80)["ForwardPathComponents"][-1]
    assert there["AdditionalDetails"] == [{"AdditionalDetailType": "AVAILABILITY_ZONE_CROSSED"}]


def test_an_analysis_is_of_the_world_it_was_started_in(api: Analyser) -> None:
    made = create(api, Source=i("open"), Destination=i("private"), Protocol="tcp", DestinationPort=22)
    start = {"NetworkInsightsPathId": made["NetworkInsightsPathId"], "ClientToken": "c"}
    before = api.call("StartNetworkInsightsAnalysis", **start)["NetworkInsightsAnalysis"]
    group = next(iter(api.world.get(NETWORK_INTERFACE, e("private")).groups))
    api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22)])
    after = api.call("StartNetworkInsightsAnalysis", **start)["NetworkInsightsAnalysis"]
    assert (before["NetworkPathFound"], after["NetworkPathFound"]) == (False, True)
    shown = api.call("DescribeNetworkInsightsAnalyses")["NetworkInsightsAnalyses"]
    assert shown == [before, after]
    for name, values, kept in (
        ("path-found", ["true"], [after]), ("path-found", ["false"], [before]), ("status", ["succeeded"], shown),
        ("status", ["running"], []),
    ):  # fmt: skip
        filters = [{"Name": name, "Values": values}]
        assert api.call("DescribeNetworkInsightsAnalyses", Filters=filters)["NetworkInsightsAnalyses"] == kept


def test_analyses_by_path_and_time(api: Analyser) -> None:
    one = api.analyse(i("open"), i("private"))
    api.clock.advance(60)
    two = api.analyse(i("open"), i("shut"))

    def found(**given: Any) -> list[str]:
        reply = api.call("DescribeNetworkInsightsAnalyses", **given)
        return [row["NetworkInsightsAnalysisId"] for row in reply["NetworkInsightsAnalyses"]]

    ids = [row["NetworkInsightsAnalysisId"] for row in (one, two)]
    assert found(NetworkInsightsPathId=two["NetworkInsightsPathId"]) == ids[1:]
    assert found(AnalysisStartTime=two["StartDate"]) == ids[1:]
    assert found(AnalysisEndTime=one["StartDate"]) == ids[:1]
    assert found(NetworkInsightsAnalysisIds=ids[::-1]) == ids[::-1]
    assert api.error("DescribeNetworkInsightsAnalyses", NetworkInsightsPathId="nip-0123456789abcdef0") == (
        "InvalidNetworkInsightsPathId.NotFound"
    )


def test_analyses_are_kept_for_120_days(api: Analyser) -> None:
    """Reachability Analyzer guide, "Considerations"."""
    done = api.analyse(i("open"), i("private"))
    assert not forgotten(api.world, done["StartDate"] + timedelta(days=120))
    gone = forgotten(api.world, done["StartDate"] + timedelta(days=120, seconds=1))
    assert api.world.apply(gone).all(NETWORK_INSIGHTS_ANALYSIS) == []


@pytest.mark.parametrize(
    "given",
    [{"FilterInArns": ["igw-1"]}, {"FilterOutArns": ["arn:aws:s3:::b"]}, {"AdditionalAccounts": ["12"]},
     {"FilterInArns": [arn("internet-gateway", IGW)], "FilterOutArns": [arn("internet-gateway", IGW)]}],
)  # fmt: skip
def test_starts_that_are_refused(api: Analyser, given: dict[str, Any]) -> None:
    id = create(api, Source=i("open"), Destination=i("private"), Protocol="tcp")["NetworkInsightsPathId"]
    start = {"NetworkInsightsPathId": id, "ClientToken": "c", **given}
    assert api.error("StartNetworkInsightsAnalysis", **start) == "InvalidParameterValue"


# ---------------------------------------------------------------------- other accounts
def organization(*services: str) -> Any:
    rows = [Organization(
        id="o-1", owner_id=ACCOUNT, region="aws-global", root="r-1", created=0,
        services=tuple(ServiceAccess(principal=name, enabled=0) for name in services),
    )]  # fmt: skip
    members = [
        Account(
            id=id,
            owner_id=id,
            region="aws-global",
            name=id,
            email=f"{id}@x",
            created=0,
            organization="o-1",
            parent="r-1",
        )
        for id in (ACCOUNT, OTHER)
    ]
    return put(ORGANIZATION, *rows) + put(ACCOUNTS, *members)


def foreign() -> Analyser:
    """The interface `plain` belongs to another account."""
    world = site()
    row = world.get(NETWORK_INTERFACE, e("plain"))
    return Analyser(world.apply(put(NETWORK_INTERFACE, replace(row, owner_id=OTHER))))


def test_what_another_account_has_is_neither_named_nor_shown() -> None:
    api = foreign()
    whole = {"Source": i("open"), "Destination": e("plain"), "Protocol": "tcp", "ClientToken": "c"}
    assert api.error("CreateNetworkInsightsPath", **whole) == "NetworkInsightsDestination.NotFound"
    named = arn("network-interface", e("plain")).replace(ACCOUNT, OTHER)
    assert api.error("CreateNetworkInsightsPath", **{**whole, "Destination": named}) == "NetworkInsights.AccessDenied"
    for port in (80, 22):  # one that would arrive, and one that a group of theirs refuses
        done = api.analyse(i("open"), DestinationIp="10.0.1.14", DestinationPort=port)
        assert done["NetworkPathFound"] is False
        assert codes(done) == ["NO_POSSIBLE_DESTINATION"]
        assert "SuggestedAccounts" not in done
        assert e("plain") not in str(done)


def test_the_management_account_analyses_its_organization() -> None:
    """Reachability Analyzer guide, "Cross-account analyses": with trusted access, and for the accounts that are named."""
    api = foreign()
    whole = api.world
    named = arn("network-interface", e("plain")).replace(ACCOUNT, OTHER)
    api.world = whole.apply(organization("other.amazonaws.com"))
    given = {"Source": i("open"), "Destination": named, "Protocol": "tcp", "ClientToken": "c"}
    assert api.error("CreateNetworkInsightsPath", **given) == "NetworkInsights.AccessDenied"
    api.world = whole.apply(organization(TRUSTED))
    id = create(api, Source=i("open"), Destination=named, Protocol="tcp", DestinationPort=80)["NetworkInsightsPathId"]
    start = {"NetworkInsightsPathId": id, "ClientToken": "c"}
    done = api.call("StartNetworkInsightsAnalysis", **start)["NetworkInsightsAnalysis"]
    assert done["NetworkPathFound"] is False
    assert done["SuggestedAccounts"] == [OTHER]
    done = api.call("StartNetworkInsightsAnalysis", AdditionalAccounts=[OTHER], **start)["NetworkInsightsAnalysis"]
    assert done["NetworkPathFound"] is True
    assert done["AdditionalAccounts"] == [OTHER]
    code = api.error("StartNetworkInsightsAnalysis", AdditionalAccounts=["123412341234"], **start)
    assert code == "NetworkInsights.AccessDenied"


def test_a_connection_is_an_end_for_both_of_its_sides() -> None:
    """By its id or the ARN that either side knows it by; for nobody else."""
    api = half_foreign(OTHER)
    theirs = arn("vpc-peering-connection", PCX).replace(ACCOUNT, OTHER)
    for given in (PCX, theirs, arn("vpc-peering-connection", PCX)):
        path = create(api, Source=i("near"), Destination=given, Protocol="tcp")
        assert path["Destination"] == PCX
        assert path["DestinationArn"] == arn("vpc-peering-connection", PCX)  # its own
    whole = {"Source": i("near"), "Destination": PCX, "Protocol": "tcp", "ClientToken": "c"}
    for owners, regions in (((OTHER, OTHER), ("us-east-1",) * 2), ((ACCOUNT, OTHER), ("eu-west-1", "us-east-1"))):
        api.world = changed(api.world, peering("p", "main", "peer", owners=owners, regions=regions))
        assert api.error("CreateNetworkInsightsPath", **whole) == "NetworkInsightsDestination.NotFound"
    api.world = changed(api.world, peering("p", "peer", "main", owners=(OTHER, ACCOUNT)))  # the accepter
    path = create(api, Source=PCX, Destination=i("near"), Protocol="tcp", DestinationPort=22)
    assert path["SourceArn"] == arn("vpc-peering-connection", PCX)
    start = {"NetworkInsightsPathId": path["NetworkInsightsPathId"], "ClientToken": "c"}
    done = api.call("StartNetworkInsightsAnalysis", **start)["NetworkInsightsAnalysis"]
    assert codes(done) == ["ENI_SG_RULES_MISMATCH"]


def test_the_far_vpc_is_known_with_its_account() -> None:
    """The management account, for the account that has the far VPC: groups named across the connection count."""
    api = half_foreign(OTHER)
    api.world = api.world.apply(organization(TRUSTED))
    id = create(api, Source=PCX, Destination=i("near"), Protocol="tcp", DestinationPort=80)["NetworkInsightsPathId"]
    start = {"NetworkInsightsPathId": id, "ClientToken": "c"}
    done = api.call("StartNetworkInsightsAnalysis", **start)["NetworkInsightsAnalysis"]
    assert codes(done) == ["ENI_SG_RULES_MISMATCH", "UNKNOWN_PEERED_SGS"]
    done = api.call("StartNetworkInsightsAnalysis", AdditionalAccounts=[OTHER], **start)["NetworkInsightsAnalysis"]
    assert done["NetworkPathFound"] is True
    assert done["ForwardPathComponents"][0]["Component"]["Id"] == PCX


# ---------------------------------------------------------------------- as a client sees it
def test_with_boto3() -> None:
    """Through the wire both ways; addresses and protocols that AWS's model does not know are taken."""
    front = Front()
    ec2 = front.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ends = [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"] for _ in range(2)]
    made = ec2.create_network_insights_path(Source=ends[0], Destination=ends[1], Protocol="icmp")["NetworkInsightsPath"]
    assert made["Protocol"] == "icmp"
    path = ec2.create_network_insights_path(Source=ends[0], DestinationIp="2001:db8::1", Protocol="tcp")[
        "NetworkInsightsPath"
    ]
    assert path["DestinationIp"] == "2001:db8::1"
    started = ec2.start_network_insights_analysis(NetworkInsightsPathId=made["NetworkInsightsPathId"])
    id = started["NetworkInsightsAnalysis"]["NetworkInsightsAnalysisId"]
    shown = ec2.describe_network_insights_analyses(NetworkInsightsAnalysisIds=[id])["NetworkInsightsAnalyses"]
    assert shown == [started["NetworkInsightsAnalysis"]]
    assert shown[0]["NetworkPathFound"] is True
    assert shown[0]["ForwardPathComponents"][0]["Component"]["Id"] == ends[0]
    ec2.create_tags(Resources=[id], Tags=[{"Key": "k", "Value": "v"}])
    tagged = ec2.describe_network_insights_analyses(Filters=[{"Name": "tag:k", "Values": ["v"]}])[
        "NetworkInsightsAnalyses"
    ]
    assert [row["NetworkInsightsAnalysisId"] for row in tagged] == [id]

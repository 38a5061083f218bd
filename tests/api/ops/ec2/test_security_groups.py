"""Security groups and their rules (spec sections 2.1-2.3, 2.5)."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.errors import ApiError
from tests.api.ops.harness import Api, tcp

UNKNOWN = "sg-0123456789abcdef0"


@pytest.fixture
def api() -> Api:
    return Api()


def shown(api: Api, group: str) -> Any:
    return api.call("DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"][0]


def test_sg_01_02_03_new_group(api: Api) -> None:
    vpc = api.vpc()
    made = api.call("CreateSecurityGroup", GroupName="web", Description="d", VpcId=vpc)
    assert len(made["GroupId"]) == len("sg-") + 17
    assert made["SecurityGroupArn"].endswith(f":security-group/{made['GroupId']}")
    group = shown(api, made["GroupId"])
    assert group["IpPermissions"] == []
    assert [p["IpRanges"] for p in group["IpPermissionsEgress"]] == [[{"CidrIp": "0.0.0.0/0"}]]
    assert group["IpPermissionsEgress"][0]["IpProtocol"] == "-1"


def test_sg_03_ipv6_vpc_opens_ipv6_egress(api: Api) -> None:
    group = shown(api, api.group(api.vpc(AmazonProvidedIpv6CidrBlock=True)))
    assert group["IpPermissionsEgress"][0]["Ipv6Ranges"] == [{"CidrIpv6": "::/0"}]


@pytest.mark.parametrize(
    ("name", "description", "code"),
    [
        ("x" * 256, "d", "InvalidParameterValue"),  # SG-04
        ("x", "d" * 256, "InvalidParameterValue"),
        ("", "d", "InvalidParameterValue"),
        ("a~b", "d", "InvalidParameterValue"),  # SG-05
        ("a", "d|e", "InvalidParameterValue"),
        ("sg-mine", "d", "InvalidParameterValue"),  # SG-07
        ("default", "d", "InvalidGroup.Reserved"),  # SG-08
        ("WEB", "d", "InvalidGroup.Duplicate"),  # SG-09, SG-10: letter case does not matter
        ("web   ", "d", "InvalidGroup.Duplicate"),  # SG-06: trailing spaces are removed
    ],
)
def test_sg_04_to_10_refused_names(api: Api, name: str, description: str, code: str) -> None:
    vpc = api.vpc()
    api.group(vpc, "web")
    assert api.error("CreateSecurityGroup", GroupName=name, Description=description, VpcId=vpc) == code


def test_sg_09_same_name_in_another_vpc(api: Api) -> None:
    assert api.group(api.vpc()) != api.group(api.vpc("10.1.0.0/16"))


@pytest.mark.parametrize(("id", "code"), [(UNKNOWN, "InvalidGroup.NotFound"), ("sg-x", "InvalidGroupId.Malformed")])
def test_sg_13_unknown_ids(api: Api, id: str, code: str) -> None:
    assert api.error("DeleteSecurityGroup", GroupId=id) == code
    assert api.error("DescribeSecurityGroups", GroupIds=[id]) == code


def test_sg_15_group_in_use(api: Api) -> None:
    vpc = api.vpc()
    group = api.group(vpc)
    api.interface(api.subnet(vpc), group)
    assert api.error("DeleteSecurityGroup", GroupId=group) == "DependencyViolation"


def test_sg_16_19_referenced_group(api: Api) -> None:
    vpc = api.vpc()
    one, two = api.group(vpc, "one"), api.group(vpc, "two")
    for holder in (one, two):
        permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": one}]}
        api.call("AuthorizeSecurityGroupIngress", GroupId=holder, IpPermissions=[permission])
    assert api.error("DeleteSecurityGroup", GroupId=one) == "DependencyViolation"
    api.call("DeleteSecurityGroup", GroupId=two)
    api.call("DeleteSecurityGroup", GroupId=one)  # SG-19: only itself refers to it


def test_sg_20_25_to_28_default_group(api: Api) -> None:
    vpc = api.vpc()
    found = api.call("DescribeSecurityGroups", Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    assert [(g["GroupName"], g["Description"]) for g in found] == [("default", "default VPC security group")]
    group = found[0]
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    assert api.error("DeleteSecurityGroup", GroupId=group["GroupId"]) == "CannotDelete"
    api.call("AssociateVpcCidrBlock", VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    assert shown(api, group["GroupId"])["IpPermissionsEgress"][0]["Ipv6Ranges"] == [{"CidrIpv6": "::/0"}]


def test_sg_28_modified_egress_stays(api: Api) -> None:
    vpc = api.vpc()
    group = api.call("DescribeSecurityGroups", Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"][0]
    everything = group["IpPermissionsEgress"]
    api.call("RevokeSecurityGroupEgress", GroupId=group["GroupId"], IpPermissions=everything)
    api.call("AuthorizeSecurityGroupEgress", GroupId=group["GroupId"], IpPermissions=everything)
    api.call("AssociateVpcCidrBlock", VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    assert shown(api, group["GroupId"])["IpPermissionsEgress"][0]["Ipv6Ranges"] == []


def test_sg_36_37_canonical_and_duplicate(api: Api) -> None:
    group = api.group(api.vpc())
    reply = api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22, "100.68.0.18/18")])
    assert reply["SecurityGroupRules"][0]["CidrIpv4"] == "100.68.0.0/18"
    again = [tcp(443), tcp(22, "100.68.1.1/18", Description="other words")]
    assert (
        api.error("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=again) == "InvalidPermission.Duplicate"
    )
    assert len(shown(api, group)["IpPermissions"]) == 1


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/33"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.1"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "FromPort": 80, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "FromPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),  # SG-41
        ({"IpProtocol": "udp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65536, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "256", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),  # SG-39
        ({"IpProtocol": "sctp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "-1"}, "MissingParameter"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": UNKNOWN}]}, "InvalidGroup.NotFound"),
        ({"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-0123456789abcdef0"}]}, "InvalidPrefixListID.NotFound"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "a & b"}]}, "InvalidParameterValue"),  # SG-35
        ({"IpProtocol": "icmp", "FromPort": 256, "ToPort": 0, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_sg_38_malformed_rules(api: Api, permission: dict[str, Any], code: str) -> None:
    assert api.error("AuthorizeSecurityGroupIngress", GroupId=api.group(api.vpc()), IpPermissions=[permission]) == code


@pytest.mark.parametrize(
    ("given", "shown_as"),
    [
        ("tcp", "tcp"),
        ("6", "tcp"),
        ("17", "udp"),
        ("1", "icmp"),
        ("58", "icmpv6"),
        ("50", "50"),
        ("-1", "-1"),
        ("UDP", "udp"),
    ],
)
def test_sg_39_40_protocols(api: Api, given: str, shown_as: str) -> None:
    group = api.group(api.vpc())
    permission = {"IpProtocol": given, "FromPort": 8, "ToPort": 8, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    rule = api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[permission])["SecurityGroupRules"][0]
    ports = (rule["FromPort"], rule["ToPort"])
    assert (rule["IpProtocol"], ports) == (shown_as, (-1, -1) if shown_as in ("50", "-1") else (8, 8))


def test_sg_42_icmp_type_minus_one_forces_code(api: Api) -> None:
    permission = {"IpProtocol": "icmp", "FromPort": -1, "ToPort": 3, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    made = api.call("AuthorizeSecurityGroupIngress", GroupId=api.group(api.vpc()), IpPermissions=[permission])
    assert made["SecurityGroupRules"][0]["ToPort"] == -1


def test_sg_43_44_flat_parameters(api: Api) -> None:
    vpc = api.vpc()
    group, source = api.group(vpc), api.group(vpc, "source")
    flat = {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, "CidrIp": "10.0.0.0/8"}
    assert api.error("AuthorizeSecurityGroupIngress", GroupId=group, **flat) == "InvalidParameterValue"
    reply = api.call("AuthorizeSecurityGroupIngress", GroupId=group, SourceSecurityGroupName="source")
    rules = reply["SecurityGroupRules"]
    assert [(r["IpProtocol"], r["FromPort"], r["ToPort"]) for r in rules] == [
        ("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1),
    ]  # fmt: skip
    assert {r["ReferencedGroupInfo"]["GroupId"] for r in rules} == {source}


def test_sg_45_46_rule_ids_and_filters(api: Api) -> None:
    group = api.group(api.vpc())
    permission = tcp(22) | {"Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}]}
    made = api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[permission])["SecurityGroupRules"]
    assert len({rule["SecurityGroupRuleId"] for rule in made}) == 2
    listed = api.call("DescribeSecurityGroupRules", Filters=[{"Name": "group-id", "Values": [group]}])[
        "SecurityGroupRules"
    ]
    assert sorted(rule["IsEgress"] for rule in listed) == [False, False, True]
    assert (
        api.error("DescribeSecurityGroupRules", Filters=[{"Name": "nope", "Values": ["x"]}]) == "InvalidParameterValue"
    )


def test_sg_47_revoke_ignores_description(api: Api) -> None:
    group = api.group(api.vpc())
    api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22, Description="ssh")])
    gone = api.call("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22)])
    assert len(gone["RevokedSecurityGroupRules"]) == 1
    assert shown(api, group)["IpPermissions"] == []


def test_sg_48_revoke_of_a_missing_rule() -> None:
    api = Api(defaults=True)
    own = api.group(api.vpc())
    assert api.error("RevokeSecurityGroupIngress", GroupId=own, IpPermissions=[tcp(22)]) == "InvalidPermission.NotFound"
    default = api.group(api.default_vpc())
    reply = api.call("RevokeSecurityGroupIngress", GroupId=default, IpPermissions=[tcp(22)])
    assert reply["UnknownIpPermissions"][0]["FromPort"] == 22


@pytest.mark.parametrize(
    ("id", "code"),
    [
        ("sgr-0123456789abcdef0", "InvalidSecurityGroupRuleId.NotFound"),
        ("sgr-?", "InvalidSecurityGroupRuleId.Malformed"),
    ],
)
def test_sg_49_revoke_by_unknown_id(api: Api, id: str, code: str) -> None:
    assert api.error("RevokeSecurityGroupIngress", GroupId=api.group(api.vpc()), SecurityGroupRuleIds=[id]) == code


def test_sg_50_modify_keeps_the_id(api: Api) -> None:
    group = api.group(api.vpc())
    made = api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22), tcp(80)])[
        "SecurityGroupRules"
    ]
    id = made[0]["SecurityGroupRuleId"]
    new = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIpv6": "2001:db8::/32", "Description": "dns"}
    api.call(
        "ModifySecurityGroupRules",
        GroupId=group,
        SecurityGroupRules=[{"SecurityGroupRuleId": id, "SecurityGroupRule": new}],
    )
    rule = api.call("DescribeSecurityGroupRules", SecurityGroupRuleIds=[id])["SecurityGroupRules"][0]
    assert {name: rule[name] for name in new} == new
    clash = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIpv4": "10.0.0.0/8"}
    update = [{"SecurityGroupRuleId": id, "SecurityGroupRule": clash}]
    assert (
        api.error("ModifySecurityGroupRules", GroupId=group, SecurityGroupRules=update) == "InvalidPermission.Duplicate"
    )


def test_sg_51_descriptions(api: Api) -> None:
    group = api.group(api.vpc())
    rule = api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22)])["SecurityGroupRules"][0]
    api.call("UpdateSecurityGroupRuleDescriptionsIngress", GroupId=group, IpPermissions=[tcp(22, Description="new")])
    assert shown(api, group)["IpPermissions"][0]["IpRanges"][0]["Description"] == "new"
    by_id = [{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "Description": "newer"}]
    api.call("UpdateSecurityGroupRuleDescriptionsIngress", GroupId=group, SecurityGroupRuleDescriptions=by_id)
    assert shown(api, group)["IpPermissions"][0]["IpRanges"][0]["Description"] == "newer"


def test_sg_52_reference_by_account(api: Api) -> None:
    vpc = api.vpc()
    one, two = api.group(vpc, "one"), api.group(vpc, "two")
    for account, ok in (("111122223333", True), ("999999999999", False)):
        permission = {
            "IpProtocol": "udp",
            "FromPort": 1,
            "ToPort": 1,
            "UserIdGroupPairs": [{"GroupId": f"{account}/{one}"}],
        }
        if ok:
            api.call("AuthorizeSecurityGroupIngress", GroupId=two, IpPermissions=[permission])
        else:
            assert (
                api.error("AuthorizeSecurityGroupIngress", GroupId=two, IpPermissions=[permission])
                == "InvalidGroup.NotFound"
            )


def test_sg_55_56_rule_quota() -> None:
    api = Api(quotas={"rules-per-security-group": 3})
    vpc = api.vpc()
    group = api.group(vpc)
    itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[itself, tcp(1), tcp(2)])
    full = "RulesPerSecurityGroupLimitExceeded"
    assert api.error("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(3)]) == full
    ipv6 = [{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": f"2001:db8:{n}::/48"}]} for n in range(3)]
    assert (
        api.error("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=ipv6) == full
    )  # the reference counts here too
    api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=ipv6[:2])


def test_sg_23_group_quota() -> None:
    api = Api(quotas={"security-groups": 2})
    vpc = api.vpc()
    api.group(vpc)
    assert api.error("CreateSecurityGroup", GroupName="x", Description="d", VpcId=vpc) == "SecurityGroupLimitExceeded"


def test_sg_12_61_groups_of_an_interface() -> None:
    api = Api()
    vpc, other = api.vpc(), api.vpc("10.1.0.0/16")
    subnet = api.subnet(vpc)
    assert api.error("CreateNetworkInterface", SubnetId=subnet, Groups=[api.group(other)]) == "InvalidGroup.NotFound"
    many = [api.group(vpc, f"g{n}") for n in range(6)]
    assert (
        api.error("CreateNetworkInterface", SubnetId=subnet, Groups=many) == "SecurityGroupsPerInterfaceLimitExceeded"
    )
    eni = api.interface(subnet, many[0])
    assert api.error("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, Groups=[]) == "InvalidParameterValue"


def test_sg_72_groups_for_a_vpc(api: Api) -> None:
    vpc = api.vpc()
    api.group(vpc)
    found = api.call("GetSecurityGroupsForVpc", VpcId=vpc)["SecurityGroupForVpcs"]
    assert {g["GroupName"] for g in found} == {"default", "web"}
    assert {g["PrimaryVpcId"] for g in found} == {vpc}


def test_sg_22_pages_cover_everything_once(api: Api) -> None:
    vpc = api.vpc()
    for number in range(12):
        api.group(vpc, f"g{number}")
    seen: list[str] = []
    token = None
    while True:
        params = {"MaxResults": 5} | ({"NextToken": token} if token else {})
        reply = api.call("DescribeSecurityGroups", **params)
        seen += [g["GroupId"] for g in reply["SecurityGroups"]]
        token = reply.get("NextToken")
        if not token:
            break
    assert len(seen) == len(set(seen)) == 13
    assert api.error("DescribeSecurityGroups", MaxResults=5, NextToken="junk") == "InvalidNextToken"
    assert api.error("DescribeSecurityGroups", MaxResults=4) == "InvalidParameterValue"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([22, 80, 443]), st.sampled_from(["10.0.0.0/8", "10.0.0.1/8", "0.0.0.0/0"])),
        max_size=8,
    )
)
def test_authorize_then_revoke_restores(rules: list[tuple[int, str]]) -> None:
    """What a successful Authorize adds, a Revoke of the same permissions removes, whatever the order."""
    api = Api()
    group = api.group(api.vpc())
    before = shown(api, group)
    added = []
    for port, cidr in rules:
        try:
            api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(port, cidr)])
        except ApiError as problem:
            assert problem.code == "InvalidPermission.Duplicate"  # noqa: PT017
            continue
        added.append(tcp(port, cidr))
    for permission in reversed(added):
        api.call("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=[permission])
    assert shown(api, group) == before


@pytest.mark.parametrize("name", ["web", "WEB", "we*", "default", "none"])
def test_groups_by_name_are_those_that_looking_at_all_finds(name: str) -> None:
    """SG-22: name filters are answered by an index where that gives the same."""
    api = Api()
    for vpc, names in ((api.vpc(), ("web", "other")), (api.vpc(), ("WEB",)), (api.vpc(), ("last",))):
        for each in names:
            api.call("CreateSecurityGroup", VpcId=vpc, GroupName=each, Description="d")
    shown = api.call("DescribeSecurityGroups")["SecurityGroups"]
    wanted = [g["GroupId"] for g in shown if fnmatch.fnmatchcase(g["GroupName"], name)]
    found = api.call("DescribeSecurityGroups", Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
    assert [g["GroupId"] for g in found] == wanted

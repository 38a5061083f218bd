"""What refers to managed prefix lists: rules and routes, what they count as, and what follows when a list changes
(spec PL-06, PL-08, PL-09, PL-11 … PL-14, SG-33, SG-57, SG-58, ACL-17, RT-07, RT-13)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.model.aws_prefix_lists import service_list
from ringfence.model.kinds import ROUTE_TABLE, SECURITY_GROUP
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Group, RouteTable
from tests.api.ops.ec2.test_prefix_lists import ABOUT_ONE, add, made, modify
from tests.api.ops.harness import ACCOUNT, REGION, Api

_LIST = service_list(REGION, "s3")
assert _LIST is not None
S3 = _LIST.id


class Site(Api):
    """A VPC with a gateway, a group and a route table of its own."""

    def __init__(self, **quotas: int) -> None:
        super().__init__(quotas={key.replace("_", "-"): value for key, value in quotas.items()})
        self.vpc_id = self.vpc()
        self.igw = self.gateway(self.vpc_id)
        self.sg = self.group(self.vpc_id)
        self.rtb = str(self.call("CreateRouteTable", VpcId=self.vpc_id)["RouteTable"]["RouteTableId"])

    def admit(self, *lists: str, port: int = 443, **more: Any) -> Any:
        return self.call(
            "AuthorizeSecurityGroupIngress", GroupId=self.sg, IpPermissions=[permission(*lists, port=port)], **more
        )

    def lead(self, list_id: str, **target: str) -> Any:
        target = target or {"GatewayId": self.igw}
        return self.call("CreateRoute", RouteTableId=self.rtb, DestinationPrefixListId=list_id, **target)

    def remotes(self) -> list[str]:
        held = compile_world(self.world).fragments["Group", self.sg]
        assert isinstance(held, Group)
        return [str(allow.match.remote) for allow in held.ingress]

    def led(self) -> dict[str, tuple[str, str | None]]:
        held = compile_world(self.world).fragments["RouteTable", self.rtb]
        assert isinstance(held, RouteTable)
        return {
            str(r.destination): (r.via.value, r.list_id) for r in held.routes if r.list_id or r.via.value == "interface"
        }


def permission(*lists: str, port: int = 443) -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "PrefixListIds": [{"PrefixListId": id} for id in lists],
    }


@pytest.fixture
def site() -> Site:
    return Site()


# ---------------------------------------------------------------------- rules
def test_a_rule_may_name_a_list(site: Site) -> None:
    """SG-33."""
    id = made(site, "192.0.2.0/24")
    (rule,) = site.admit(id)["SecurityGroupRules"]
    assert rule["PrefixListId"] == id
    assert "CidrIpv4" not in rule
    (group,) = site.call("DescribeSecurityGroups", Filters=[{"Name": "ip-permission.prefix-list-id", "Values": [id]}])[
        "SecurityGroups"
    ]
    assert group["IpPermissions"][0]["PrefixListIds"] == [{"PrefixListId": id}]
    again = {"GroupId": site.sg, "IpPermissions": [permission(id)]}
    assert site.error("AuthorizeSecurityGroupIngress", **again) == "InvalidPermission.Duplicate"
    other = made(site)
    change = {"SecurityGroupRuleId": rule["SecurityGroupRuleId"],
              "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "PrefixListId": other}}  # fmt: skip
    site.call("ModifySecurityGroupRules", GroupId=site.sg, SecurityGroupRules=[change])
    assert site.call("DescribeSecurityGroupRules", SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])["SecurityGroupRules"][
        0
    ]["PrefixListId"] == other  # fmt: skip
    gone = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "PrefixListIds": [{"PrefixListId": other}]}
    site.call("RevokeSecurityGroupIngress", GroupId=site.sg, IpPermissions=[gone])
    assert not site.world.get(SECURITY_GROUP, site.sg).ingress_rules


@pytest.mark.parametrize(
    ("id", "code"),
    [("pl-0123456789abcdef0", "InvalidPrefixListID.NotFound"), ("pl-x", "InvalidPrefixListId.Malformed")],
)
def test_a_list_that_is_not_there_cannot_be_named(site: Site, id: str, code: str) -> None:
    """PL-15."""
    permissions = [permission(id)]
    assert site.error("AuthorizeSecurityGroupIngress", GroupId=site.sg, IpPermissions=permissions) == code
    route = {"RouteTableId": site.rtb, "DestinationPrefixListId": id}
    for action in ("CreateRoute", "ReplaceRoute"):
        assert site.error(action, GatewayId=site.igw, **route) == code
    assert site.error("DeleteRoute", **route) == code


def test_a_list_counts_as_its_size() -> None:
    """SG-57, SG-58, Q-13: not as the entries it has; one of AWS counts as its weight."""
    site = Site(rules_per_security_group=6)
    site.admit(made(site, size=5))
    site.admit(S3)
    two = [permission(made(site, size=1))]
    code = "RulesPerSecurityGroupLimitExceeded"
    assert site.error("AuthorizeSecurityGroupIngress", GroupId=site.sg, IpPermissions=two) == code
    site.call("AuthorizeSecurityGroupIngress", GroupId=site.sg, IpPermissions=[permission(made(site, family="IPv6"))])


def test_the_quota_of_rules_is_that_of_each_family() -> None:
    site = Site(rules_per_security_group=5)
    six = made(site, family="IPv6", size=5)
    site.admit(made(site, size=5), six)
    block = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    given = {"GroupId": site.sg, "IpPermissions": [block]}
    assert site.error("AuthorizeSecurityGroupIngress", **given) == "RulesPerSecurityGroupLimitExceeded"


# ---------------------------------------------------------------------- routes
def test_a_route_may_lead_to_a_list(site: Site) -> None:
    """PL-12."""
    id = made(site, "192.0.2.0/24")
    site.lead(id)
    wanted = [{"Name": "route.destination-prefix-list-id", "Values": [id]}]
    (table,) = site.call("DescribeRouteTables", Filters=wanted)["RouteTables"]
    shown = {"DestinationPrefixListId": id, "GatewayId": site.igw, "Origin": "CreateRoute", "State": "active"}
    assert table["Routes"][-1] == shown
    same = {"RouteTableId": site.rtb, "DestinationPrefixListId": id}
    assert site.error("CreateRoute", GatewayId=site.igw, **same) == "RouteAlreadyExists"
    site.call("DetachInternetGateway", InternetGatewayId=site.igw, VpcId=site.vpc_id)
    assert site.call("DescribeRouteTables", Filters=wanted)["RouteTables"][0]["Routes"][-1]["State"] == "blackhole"
    eni = site.interface(site.subnet(site.vpc_id))
    site.call("ReplaceRoute", NetworkInterfaceId=eni, **same)
    assert site.world.get(ROUTE_TABLE, site.rtb).listed[0].target_id == eni
    site.call("DeleteRoute", **same)
    assert site.error("DeleteRoute", **same) == "InvalidRoute.NotFound"
    assert site.error("ReplaceRoute", NetworkInterfaceId=eni, **same) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("row", "block", "code"),
    [
        ("RT-09", "169.254.168.0/24", "InvalidParameterValue"),
        ("RT-08", "10.0.0.0/24", "InvalidParameterValue"),
        ("RT-08: the local route stays", "10.0.0.0/16", ""),
    ],
)
def test_where_a_route_to_a_list_may_lead(site: Site, row: str, block: str, code: str) -> None:
    route = {"RouteTableId": site.rtb, "DestinationPrefixListId": made(site, block), "GatewayId": site.igw}
    if code:
        assert site.error("CreateRoute", **route) == code, row
    else:
        site.call("CreateRoute", **route)
        assert site.led() == {}


def test_gateway_tables_and_acls_take_no_list(site: Site) -> None:
    """PL-12, RT-13, ACL-17."""
    id = made(site, "192.0.2.0/24")
    eni = site.interface(site.subnet(site.vpc_id))
    site.call("AssociateRouteTable", RouteTableId=site.rtb, GatewayId=site.igw)
    route = {"RouteTableId": site.rtb, "DestinationPrefixListId": id, "NetworkInterfaceId": eni}
    assert site.error("CreateRoute", **route) == "InvalidParameterValue"
    other = site.call("CreateRouteTable", VpcId=site.vpc_id)["RouteTable"]["RouteTableId"]
    site.call("CreateRoute", **{**route, "RouteTableId": other})
    again = {"RouteTableId": other, "GatewayId": site.igw}
    assert site.error("AssociateRouteTable", **again) == "InvalidParameterValue"


def test_a_list_counts_as_its_size_in_tables() -> None:
    """PL-14."""
    site = Site(routes_per_table=5)
    site.lead(made(site, "192.0.2.0/24", size=5))
    route = {"RouteTableId": site.rtb, "GatewayId": site.igw}
    assert site.error("CreateRoute", DestinationCidrBlock="0.0.0.0/0", **route) == "RouteLimitExceeded"
    site.call("CreateRoute", DestinationIpv6CidrBlock="::/0", **route)


# ---------------------------------------------------------------------- both
def test_references_are_counted_and_listed_and_keep_the_list() -> None:
    """PL-09, PL-11, PL-14."""
    site = Site(references_per_prefix_list=2)
    id = made(site, "192.0.2.0/24", size=1)
    site.admit(id)
    site.admit(id, port=80)
    third = {"GroupId": site.sg, "IpPermissions": [permission(id, port=81)]}
    assert site.error("AuthorizeSecurityGroupIngress", **third) == "PrefixListReferenceLimitExceeded"
    site.lead(id)
    found = site.call("GetManagedPrefixListAssociations", PrefixListId=id)["PrefixListAssociations"]
    assert found == [{"ResourceId": each, "ResourceOwner": ACCOUNT} for each in (site.sg, site.rtb)]
    assert site.error("DeleteManagedPrefixList", PrefixListId=id) == "DependencyViolation"
    site.call("DeleteRoute", RouteTableId=site.rtb, DestinationPrefixListId=id)
    assert site.error("DeleteManagedPrefixList", PrefixListId=id) == "DependencyViolation"
    site.call("RevokeSecurityGroupIngress", GroupId=site.sg, IpPermissions=[permission(id), permission(id, port=80)])
    site.call("DeleteManagedPrefixList", PrefixListId=id)


def test_a_list_does_not_outgrow_what_refers_to_it() -> None:
    """PL-06."""
    site = Site(rules_per_security_group=10, routes_per_table=20)
    id = made(site, size=5)
    site.admit(id)
    site.lead(id)
    assert modify(site, id, MaxEntries=10)["State"] == "modify-complete"
    failed = modify(site, id, MaxEntries=21)
    assert (failed["State"], failed["MaxEntries"]) == ("modify-failed", 10)
    assert all(each in failed["StateMessage"] for each in (site.sg, site.rtb))
    assert site.sg in (second := modify(site, id, MaxEntries=11))["StateMessage"]
    assert site.rtb not in second["StateMessage"]
    assert "StateMessage" not in modify(site, id, PrefixListName="again")


def test_what_a_list_says_now_is_what_rules_and_routes_mean(site: Site) -> None:
    """PL-08, SG-77, RT-07."""
    id = made(site, "192.0.2.0/24", "198.51.100.0/24", "10.0.0.0/16")
    eni = site.interface(site.subnet(site.vpc_id))
    site.admit(id)
    site.lead(id)
    site.call("CreateRoute", RouteTableId=site.rtb, DestinationCidrBlock="192.0.2.0/24", NetworkInterfaceId=eni)
    assert site.remotes() == ["192.0.2.0/24", "198.51.100.0/24", "10.0.0.0/16"]
    # a block of the table's own and the local one win over the same block of the list
    assert site.led() == {"198.51.100.0/24": ("gateway", id)}
    modify(site, id, **add("203.0.113.0/24"), RemoveEntries=[{"Cidr": "198.51.100.0/24"}])
    assert site.remotes() == ["192.0.2.0/24", "10.0.0.0/16", "203.0.113.0/24"]
    assert "203.0.113.0/24" in site.led()
    site.call("RestoreManagedPrefixListVersion", PrefixListId=id, PreviousVersion=1, CurrentVersion=2)
    assert site.remotes() == ["192.0.2.0/24", "198.51.100.0/24", "10.0.0.0/16"]


def test_what_lists_of_aws_hold_can_be_named(site: Site) -> None:
    """PL-10: named, but neither changed nor looked into for who names them."""
    assert _LIST is not None
    site.admit(S3)
    assert site.remotes() == [str(_LIST.entries[0].cidr)]
    for action, more in ABOUT_ONE[:4]:
        assert site.error(action, PrefixListId=S3, **more) == "OperationNotPermitted"

"""AssociateSecurityGroupVpc and what follows from it (SG-12, SG-17, SG-70..SG-72)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.ops.harness import Api


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def other(api: Api) -> dict[str, str]:
    """A group of one VPC, and a second VPC with a subnet."""
    home, second = api.vpc("10.0.0.0/16"), api.vpc("10.1.0.0/16")
    subnet = api.call("CreateSubnet", VpcId=second, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    return {"home": home, "vpc": second, "subnet": subnet, "group": api.group(home, "shared")}


def associate(api: Api, other: dict[str, str]) -> Any:
    return api.call("AssociateSecurityGroupVpc", GroupId=other["group"], VpcId=other["vpc"])


def listed(api: Api, **more: Any) -> Any:
    return api.call("DescribeSecurityGroupVpcAssociations", **more)["SecurityGroupVpcAssociations"]


def interface(api: Api, other: dict[str, str]) -> str:
    made = api.call("CreateNetworkInterface", SubnetId=other["subnet"], Groups=[other["group"]])
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def test_sg_12_70_only_an_associated_group_can_be_attached(api: Api, other: dict[str, str]) -> None:
    refused = {"SubnetId": other["subnet"], "Groups": [other["group"]]}
    assert api.error("CreateNetworkInterface", **refused) == "InvalidGroup.NotFound"
    assert associate(api, other) == {"State": "associating"}
    (shown,) = listed(api)
    assert (shown["GroupId"], shown["VpcId"], shown["State"]) == (other["group"], other["vpc"], "associated")
    assert shown["GroupOwnerId"] == shown["VpcOwnerId"] == "111122223333"
    eni = interface(api, other)
    groups = api.call("DescribeNetworkInterfaces", NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]["Groups"]
    assert [group["GroupId"] for group in groups] == [other["group"]]


def test_sg_70_refusals(api: Api, other: dict[str, str]) -> None:
    default = api.call("DescribeVpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    own = api.call("DescribeSecurityGroups", Filters=[
        {"Name": "vpc-id", "Values": [other["home"]]}, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]  # fmt: skip
    wrong = [
        ({"GroupId": own[0]["GroupId"], "VpcId": other["vpc"]}, "InvalidParameterValue"),
        ({"GroupId": other["group"], "VpcId": other["home"]}, "InvalidParameterValue"),
        ({"GroupId": "sg-0123456789abcdef0", "VpcId": other["vpc"]}, "InvalidGroup.NotFound"),
        ({"GroupId": other["group"], "VpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound"),
        *(({"GroupId": other["group"], "VpcId": vpc["VpcId"]}, "InvalidParameterValue") for vpc in default),
    ]
    for params, code in wrong:
        assert api.error("AssociateSecurityGroupVpc", **params) == code, params
    associate(api, other)
    again = {"GroupId": other["group"], "VpcId": other["vpc"]}
    assert api.error("AssociateSecurityGroupVpc", **again) == "Resource.AlreadyAssociated"
    assert len(listed(api)) == 1


def test_sg_71_no_disassociation_while_an_interface_uses_the_group(api: Api, other: dict[str, str]) -> None:
    named = {"GroupId": other["group"], "VpcId": other["vpc"]}
    assert api.error("DisassociateSecurityGroupVpc", **named) == "InvalidAssociationID.NotFound"
    associate(api, other)
    eni = interface(api, other)
    assert api.error("DisassociateSecurityGroupVpc", **named) == "DependencyViolation"
    api.call("DeleteNetworkInterface", NetworkInterfaceId=eni)
    assert api.call("DisassociateSecurityGroupVpc", **named) == {"State": "disassociating"}
    assert listed(api) == []


def test_sg_17_group_and_vpc_stay_while_associated(api: Api, other: dict[str, str]) -> None:
    associate(api, other)
    assert api.error("DeleteSecurityGroup", GroupId=other["group"]) == "DependencyViolation"
    api.call("DeleteSubnet", SubnetId=other["subnet"])
    assert api.error("DeleteVpc", VpcId=other["vpc"]) == "DependencyViolation"
    api.call("DisassociateSecurityGroupVpc", GroupId=other["group"], VpcId=other["vpc"])
    api.call("DeleteVpc", VpcId=other["vpc"])
    api.call("DeleteSecurityGroup", GroupId=other["group"])


def test_sg_72_groups_for_a_vpc(api: Api, other: dict[str, str]) -> None:
    associate(api, other)
    found = api.call("GetSecurityGroupsForVpc", VpcId=other["vpc"])["SecurityGroupForVpcs"]
    assert {(group["GroupName"], group["PrimaryVpcId"]) for group in found} == {
        ("default", other["vpc"]), ("shared", other["home"])}  # fmt: skip


def test_references_between_groups_that_share_a_vpc(api: Api, other: dict[str, str]) -> None:
    local = api.group(other["vpc"], "local")
    rule = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": local}]}]
    named = {"GroupId": other["group"], "IpPermissions": rule}
    assert api.error("AuthorizeSecurityGroupIngress", **named) == "InvalidGroup.NotFound"
    associate(api, other)
    api.call("AuthorizeSecurityGroupIngress", **named)
    assert api.error("DeleteSecurityGroup", GroupId=local) == "DependencyViolation"


def test_filters(api: Api, other: dict[str, str]) -> None:
    associate(api, other)
    hits = {"group-id": other["group"], "vpc-id": other["vpc"], "state": "associated", "vpc-owner-id": "111122223333",
            "group-owner-id": "111122223333"}  # fmt: skip
    for name, value in hits.items():
        assert len(listed(api, Filters=[{"Name": name, "Values": [value]}])) == 1, name
        assert listed(api, Filters=[{"Name": name, "Values": ["no"]}]) == [], name
    assert api.error("DescribeSecurityGroupVpcAssociations", Filters=[{"Name": "no", "Values": ["x"]}]) == (
        "InvalidParameterValue"
    )

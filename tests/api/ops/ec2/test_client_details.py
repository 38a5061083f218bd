"""Details that real clients trip over: codes, messages and readings as AWS gives them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from ringfence.api.images import Images
from ringfence.api.ops.ec2.images import sample_images
from ringfence.model.errors import ApiError
from tests.api.ops.harness import Api, tcp


@pytest.fixture
def api() -> Api:
    return Api()


def message(api: Api, action: str, **params: Any) -> tuple[str, str]:
    with pytest.raises(ApiError) as refused:
        api.call(action, **params)
    return refused.value.code, refused.value.message


# ---------------------------------------------------------------------- ids and blocks
@pytest.mark.parametrize(
    ("action", "params", "code"),
    [
        ("DescribeVpcs", {"VpcIds": ["vpc-x"]}, "InvalidVpcID.Malformed"),
        ("DescribeSubnets", {"SubnetIds": ["subnet-x"]}, "InvalidSubnetID.Malformed"),
        ("DescribeAddresses", {"AllocationIds": ["eipalloc-x"]}, "InvalidAllocationID.NotFound"),  # there is no other
        ("DescribeDhcpOptions", {"DhcpOptionsIds": ["foo"]}, "InvalidDhcpOptionsId.Malformed"),
        ("DisassociateVpcCidrBlock", {"AssociationId": "x"}, "InvalidVpcCidrBlockAssociationID.NotFound"),
        ("DisassociateSubnetCidrBlock", {"AssociationId": "x"}, "InvalidSubnetCidrBlockAssociationID.NotFound"),
    ],
)
def test_codes_of_ids(api: Api, action: str, params: dict[str, Any], code: str) -> None:
    """D-09: the error list's spelling, or what has been seen of AWS."""
    assert api.error(action, **params) == code


def test_the_message_of_the_cidr_limit(api: Api) -> None:
    vpc = api.vpc("10.10.0.0/16")
    for third in range(4):
        api.call("AssociateVpcCidrBlock", VpcId=vpc, CidrBlock=f"10.20.{third}.0/24")
    assert message(api, "AssociateVpcCidrBlock", VpcId=vpc, CidrBlock="10.21.0.0/24") == (
        "CidrLimitExceeded", f"This network {vpc} has met its maximum number of allowed CIDRs: 5")  # fmt: skip


def test_ipv6_native_subnets_are_checked_and_then_refused(api: Api) -> None:
    vpc = api.vpc()
    needs = "Either 'ipv6CidrBlock' or 'ipv6IpamPoolId' should be provided."
    named: dict[str, Any] = {"VpcId": vpc, "Ipv6Native": True}
    assert message(api, "CreateSubnet", **named) == ("MissingParameter", needs)
    assert message(api, "CreateSubnet", **named, CidrBlock="10.0.0.0/24") == ("MissingParameter", needs)
    both = {"CidrBlock": "10.0.0.0/24", "Ipv6CidrBlock": "2001:db8::/64"}
    assert api.error("CreateSubnet", **named, **both) == "InvalidParameterCombination"
    assert api.error("CreateSubnet", **named, Ipv6CidrBlock="2001:db8::/64") == "UnsupportedOperation"


def test_a_gateway_is_not_attached_to_a_vpc_that_does_not_exist(api: Api) -> None:
    vpc, unknown = api.vpc(), "vpc-0123456789abcdef0"
    gateway = api.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    api.call("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    assert api.error("DetachInternetGateway", InternetGatewayId=gateway, VpcId=unknown) == "Gateway.NotAttached"


def test_zone_ids_are_listed_by_name_and_each_once(api: Api) -> None:
    zones = api.call("DescribeAvailabilityZones")["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == [f"us-east-1{letter}" for letter in "abcdef"]
    assert {zone["ZoneId"] for zone in zones} == {f"use1-az{number}" for number in range(1, 7)}


def test_a_filter_without_values_selects_nothing(api: Api) -> None:
    api.vpc()
    assert api.call("DescribeVpcs", Filters=[{"Name": "state"}])["Vpcs"] == []
    assert api.error("DescribeVpcs", Filters=[{"Name": "no-such"}]) == "InvalidParameterValue"


# ---------------------------------------------------------------------- tags on create
@pytest.mark.parametrize(
    ("specification", "text"),
    [
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "Tag specification resource type must have a value"),
        ({"ResourceType": "vpc"}, "Tag specification must have at least one tag"),
        ({"ResourceType": "subnet", "Tags": [{"Key": "a", "Value": "b"}]},
         "'subnet' is not a valid taggable resource type for this operation."),
    ],
)  # fmt: skip
def test_tag_specifications_of_network_resources(api: Api, specification: dict[str, Any], text: str) -> None:
    given = {"CidrBlock": "10.0.0.0/16", "TagSpecifications": [specification]}
    assert message(api, "CreateVpc", **given) == ("InvalidParameter", text)


# ---------------------------------------------------------------------- security group rules
def test_modify_rules_says_what_is_wrong(api: Api) -> None:
    group = api.group(api.vpc(), "web")
    added = api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(80)])["SecurityGroupRules"]
    whole = {"IpProtocol": "udp", "FromPort": 1, "ToPort": 2, "CidrIpv4": "2.3.4.5/32"}
    peers = "cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
    for gone, more, code, text in (
        ("IpProtocol", {}, "InvalidParameterValue",
         "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly."),
        ("FromPort", {}, "InvalidParameterValue",
         "Invalid value for portRange. Must specify both from and to ports with TCP/UDP."),
        ("CidrIpv4", {}, "MissingParameter", f"The request must contain exactly one of: {peers}"),
        ("", {"CidrIpv6": "2001:db8::/32"}, "InvalidParameterCombination", f"Only one of {peers} can be specified"),
    ):  # fmt: skip
        rule = {name: value for name, value in whole.items() if name != gone} | more
        update = [{"SecurityGroupRuleId": added[0]["SecurityGroupRuleId"], "SecurityGroupRule": rule}]
        assert message(api, "ModifySecurityGroupRules", GroupId=group, SecurityGroupRules=update) == (code, text)


def test_the_group_filter_of_rules_takes_ids_only(api: Api) -> None:
    """SG-45: what is no id is refused; an id of no group finds nothing; wildcards stay."""
    group = api.group(api.vpc(), "web")

    def of(value: str) -> dict[str, Any]:
        return {"Filters": [{"Name": "group-id", "Values": [value]}]}

    assert message(api, "DescribeSecurityGroupRules", **of("foobar")) == (
        "InvalidGroupId.Malformed", "The security group ID 'foobar' is malformed")  # fmt: skip
    assert api.call("DescribeSecurityGroupRules", **of("sg-005216b55886f0fdc"))["SecurityGroupRules"] == []
    assert len(api.call("DescribeSecurityGroupRules", **of(f"{group[:6]}*"))["SecurityGroupRules"]) >= 1


# ---------------------------------------------------------------------- addresses
def test_a_release_disassociates_in_a_default_vpc_only() -> None:
    """EC2 API Reference, ReleaseAddress."""
    api = Api(defaults=True)
    default = api.call("DescribeSubnets")["Subnets"][0]["SubnetId"]
    vpc = api.vpc()
    own = api.call("CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    gateway = api.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    api.call("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    for subnet, code in ((default, None), (own, "InvalidIPAddress.InUse")):
        eni = api.call("CreateNetworkInterface", SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
        address = api.call("AllocateAddress")["AllocationId"]
        api.call("AssociateAddress", AllocationId=address, NetworkInterfaceId=eni)
        if code:
            assert api.error("ReleaseAddress", AllocationId=address) == code
        else:
            api.call("ReleaseAddress", AllocationId=address)
            shown = api.call("DescribeNetworkInterfaces", NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]
            assert "Association" not in shown


def test_reverse_names_of_addresses_come_in_pages(api: Api) -> None:
    ids = [api.call("AllocateAddress")["AllocationId"] for _ in range(3)]
    first = api.call("DescribeAddressesAttribute", Attribute="domain-name", MaxResults=2)
    rest = api.call("DescribeAddressesAttribute", Attribute="domain-name", NextToken=first["NextToken"])
    assert [a["AllocationId"] for a in (*first["Addresses"], *rest["Addresses"])] == ids


# ---------------------------------------------------------------------- keys and images
def rfc4716(openssh: bytes) -> bytes:
    body = openssh.split()[1].decode()
    lines = [body[at : at + 70] for at in range(0, len(body), 70)]
    headers = ['Comment: "a key \\', 'of two lines"', "x-private: y"]
    return "\n".join(
        ["---- BEGIN SSH2 PUBLIC KEY ----", *headers, *lines, "---- END SSH2 PUBLIC KEY ----", ""]
    ).encode()


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_public_keys_in_every_form_are_the_same_key(api: Api, kind: str) -> None:
    key: Any = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if kind == "rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    public = key.public_key()
    openssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    forms = {
        "openssh": openssh + b" me@example.org",
        "rfc4716": rfc4716(openssh),
        "pem": public.public_bytes(serialization.Encoding.PEM, info),
        "der": base64.b64encode(public.public_bytes(serialization.Encoding.DER, info)),
    }
    prints = set()
    for name, material in forms.items():
        prints.add(api.call("ImportKeyPair", KeyName=name, PublicKeyMaterial=material)["KeyFingerprint"])
    assert len(prints) == 1
    shown = api.call("DescribeKeyPairs", IncludePublicKey=True)["KeyPairs"]
    assert {each["PublicKey"] for each in shown} == {f"{openssh.decode()} {name}" for name in forms}
    assert all("Tags" not in each for each in shown)


@pytest.mark.parametrize(
    "material",
    [
        b"no key", b"", b"\xff\xfe", b"---- BEGIN SSH2 PUBLIC KEY ----\n---- END SSH2 PUBLIC KEY ----",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
        b"---- BEGIN SSH2 PUBLIC KEY ----\n!!!!\n---- END SSH2 PUBLIC KEY ----", b"ssh-rsa AAAA", base64.b64encode(b"0"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused(api: Api, material: bytes) -> None:
    assert api.error("ImportKeyPair", KeyName="k", PublicKeyMaterial=material) == "InvalidKey.Format"


def test_image_names_are_unique_in_an_account(api: Api, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    api.images = Images((tmp_path,))
    api.call("RegisterImage", Name="mine", ImageLocation=f"file:{tmp_path}/root")
    assert api.error("RegisterImage", Name="mine", ImageLocation=f"file:{tmp_path}/root") == "InvalidAMIName.Duplicate"


def test_sample_images_stand_in_every_region_and_are_made_once(api: Api) -> None:
    """What an ephemeral installation adds; others know no such ids."""
    assert api.error("DescribeImages", ImageIds=["ami-12c6146b"]) == "InvalidAMIID.NotFound"
    change = sample_images(api._context("Describe"), api.world)
    assert change is not None
    api.world = api.world.apply(change)
    assert sample_images(api._context("Describe"), api.world) is None
    (shown,) = api.call("DescribeImages", ImageIds=["ami-12c6146b"])["Images"]
    assert (shown["Platform"], shown["Public"], "ImdsSupport" in shown) == ("windows", True, False)
    assert api.error("DeregisterImage", ImageId="ami-12c6146b") == "InvalidAMIID.NotFound"


def test_an_instance_tells_the_platform_of_its_image_and_no_tags_where_there_are_none() -> None:
    api = Api(defaults=True)
    change = sample_images(api._context("Describe"), api.world)
    assert change is not None
    api.world = api.world.apply(change)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]
    api.call("RunInstances", ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    api.call("RunInstances", ImageId="ami-fa7cdd89", MinCount=1, MaxCount=1, TagSpecifications=tags)
    shown = [each["Instances"][0] for each in api.call("DescribeInstances")["Reservations"]]
    assert [(i.get("Platform"), i["VirtualizationType"], i.get("Tags")) for i in shown] == [
        ("windows", "hvm", None), (None, "paravirtual", [{"Key": "a", "Value": "b"}])]  # fmt: skip
    found = api.call("DescribeInstances", Filters=[{"Name": "platform", "Values": ["windows"]}])["Reservations"]
    assert len(found) == 1


def test_rt_12_a_route_to_an_interface_whose_instance_stops_is_a_black_hole() -> None:
    """Stopped, started again, detached."""
    api = Api(defaults=True)
    ami = api.call("DescribeImages", Owners=["amazon"])["Images"][0]["ImageId"]
    vpc = api.vpc()
    subnet = api.call("CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    instance = api.call("RunInstances", ImageId=ami, MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]
    id = instance["InstanceId"]
    api.settle()
    second = api.call("CreateNetworkInterface", SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    attached = api.call("AttachNetworkInterface", NetworkInterfaceId=second, InstanceId=id, DeviceIndex=1)
    table = api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    api.call("CreateRoute", RouteTableId=table, DestinationCidrBlock="192.0.2.0/24", NetworkInterfaceId=second)

    def state() -> str:
        routes = api.call("DescribeRouteTables", RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return str(next(r["State"] for r in routes if r["DestinationCidrBlock"] == "192.0.2.0/24"))

    assert state() == "active"
    api.call("StopInstances", InstanceIds=[id])
    assert state() == "blackhole"
    api.settle()
    api.call("StartInstances", InstanceIds=[id])
    api.settle()
    assert state() == "active"
    api.call("DetachNetworkInterface", AttachmentId=attached["AttachmentId"])
    assert state() == "blackhole"


def test_the_block_on_public_images_is_on_and_can_be_taken_off_and_put_back(api: Api) -> None:
    def state() -> Any:
        return api.call("GetImageBlockPublicAccessState")["ImageBlockPublicAccessState"]

    api.call("ModifyInstanceMetadataDefaults", HttpTokens="required")  # another choice of the same Region is kept
    assert state() == "block-new-sharing"
    assert api.call("DisableImageBlockPublicAccess") == {"ImageBlockPublicAccessState": "unblocked"}
    assert state() == "unblocked"
    api.call("EnableImageBlockPublicAccess", ImageBlockPublicAccessState="block-new-sharing")
    assert state() == "block-new-sharing"
    assert api.call("GetInstanceMetadataDefaults")["AccountLevel"]["HttpTokens"] == "required"


# ---------------------------------------------------------------------- interfaces
def test_interfaces_that_cannot_be_attached_or_detached() -> None:
    """AWS's sentences, as clients have reported them. The VPC of an interface may be another than its instance's."""
    api = Api(defaults=True)
    vpc = api.vpc()
    here, there = api.subnet(vpc), api.subnet(vpc, "10.0.1.0/24", AvailabilityZone="us-east-1b")
    instance = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1, SubnetId=here)["Instances"][0]
    primary = instance["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    assert message(api, "DetachNetworkInterface", AttachmentId=primary) == (
        "OperationNotPermitted", "The network interface at device index 0 and networkCard index 0 cannot be detached.")  # fmt: skip
    api.settle()
    foreign = api.subnet(api.vpc("10.9.0.0/16"), "10.9.0.0/24")
    made = [api.call("CreateNetworkInterface", SubnetId=subnet)["NetworkInterface"] for subnet in (there, foreign)]
    far, other = (
        {"NetworkInterfaceId": eni["NetworkInterfaceId"], "InstanceId": instance["InstanceId"], "DeviceIndex": 1}
        for eni in made
    )
    assert message(api, "AttachNetworkInterface", **far) == (
        "InvalidParameterCombination",
        "You may not attach a network interface to an instance if they are not in the same availability zone",
    )
    api.call("AttachNetworkInterface", **other)
    found = api.call("DescribeInstances", InstanceIds=[instance["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert found["VpcId"] == vpc
    assert {eni["VpcId"] for eni in found["NetworkInterfaces"]} == {vpc, made[1]["VpcId"]}
    launch = {"ImageId": api.image(), "MinCount": 1, "MaxCount": 1}
    two = [{"DeviceIndex": 0, "SubnetId": here}, {"DeviceIndex": 1, "SubnetId": foreign}]
    assert api.call("RunInstances", **launch, NetworkInterfaces=two)["Instances"][0]["VpcId"] == vpc
    apart = [{"DeviceIndex": 0, "SubnetId": here}, {"DeviceIndex": 1, "SubnetId": there}]
    assert api.error("RunInstances", **launch, NetworkInterfaces=apart) == "InvalidParameterCombination"


# ---------------------------------------------------------------------- rules
def test_a_rule_twice_in_one_request_and_a_rule_that_exists(api: Api) -> None:
    """SG-37: AWS has a code for each; blocks are compared in their canonical form."""
    group = api.group(api.vpc())
    same = ("InvalidParameterValue", "The same permission must not appear multiple times")
    for twice in ([tcp(22), tcp(22)], [tcp(22, "10.0.0.0/8"), tcp(22, "10.9.9.9/8")]):
        assert message(api, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=twice) == same
    api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22)])
    again = {"GroupId": group, "IpPermissions": [tcp(22), tcp(23)]}
    assert api.error("AuthorizeSecurityGroupIngress", **again) == "InvalidPermission.Duplicate"

"""Interfaces, instances, images, key pairs, tags (spec sections 2, 3, 6.1; INF-13)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from ringfence.api.images import Images
from ringfence.model.nouns.instance import InstanceState
from tests.api.ops.harness import Api


@pytest.fixture
def api() -> Api:
    return Api(defaults=True)


def run(api: Api, **params: Any) -> Any:
    return api.call("RunInstances", **{"ImageId": api.image(), "MinCount": 1, "MaxCount": 1} | params)["Instances"]


def shown(api: Api, id: str) -> Any:
    return api.call("DescribeInstances", InstanceIds=[id])["Reservations"][0]["Instances"][0]


def test_sg_30_default_group_and_addresses(api: Api) -> None:
    one, two = run(api, MaxCount=2)
    assert one["State"]["Name"] == "pending"
    assert one["SecurityGroups"][0]["GroupName"] == "default"
    assert one["PrivateIpAddress"] != two["PrivateIpAddress"]
    assert one["PublicIpAddress"]  # NET-15: default subnets give one
    api.settle()
    assert shown(api, one["InstanceId"])["State"] == {"Code": 16, "Name": "running"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "ami-x"}, "InvalidAMIID.Malformed"),
        ({"MinCount": 2}, "InvalidParameterValue"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"UserData": "not base64!"}, "InvalidUserData.Malformed"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 1}]}, "InvalidParameterValue"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0}], "SubnetId": "x"}, "InvalidParameterCombination"),
        ({"PrivateIpAddress": "10.9.9.9"}, "InvalidParameterValue"),
        ({"LaunchTemplate": {"LaunchTemplateId": "lt-1"}}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf"}]}, "MissingParameter"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeType": "gp3"}}]}, "MissingParameter"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "NoDevice": "yes"}]}, "InvalidRequest"),
        ({"Placement": {"HostId": "h-0123456789abcdef0"}}, "UnsupportedOperation"),
        ({"Placement": {"GroupName": "cluster"}}, "UnsupportedOperation"),
        ({"IamInstanceProfile": {"Name": "x"}}, "InvalidParameterValue"),
    ],
)
def test_run_instances_refused(api: Api, params: dict[str, Any], code: str) -> None:
    assert api.error("RunInstances", **{"ImageId": api.image(), "MinCount": 1, "MaxCount": 1} | params) == code


def test_several_interfaces_and_sg_61(api: Api) -> None:
    vpc = api.vpc()
    subnet = api.subnet(vpc)
    groups = [api.group(vpc, f"g{n}") for n in range(6)]
    interfaces = [{"DeviceIndex": n, "SubnetId": subnet, "Groups": [groups[n]]} for n in range(2)]
    instance = run(api, NetworkInterfaces=interfaces)[0]
    assert [e["Groups"][0]["GroupId"] for e in instance["NetworkInterfaces"]] == groups[:2]
    too_many = {"SubnetId": subnet, "SecurityGroupIds": groups, "ImageId": api.image(), "MinCount": 1, "MaxCount": 1}
    assert api.error("RunInstances", **too_many) == "SecurityGroupsPerInstanceLimitExceeded"
    id = instance["InstanceId"]
    assert api.error("ModifyInstanceAttribute", InstanceId=id, Groups=[groups[2]]) == "InvalidInstanceID"


def test_sg_60_groups_of_an_instance(api: Api) -> None:
    instance = run(api)[0]["InstanceId"]
    group = api.group(api.default_vpc())
    assert api.error("ModifyInstanceAttribute", InstanceId=instance, Groups=[]) == "InvalidParameterValue"
    api.call("ModifyInstanceAttribute", InstanceId=instance, Groups=[group])
    assert [g["GroupId"] for g in shown(api, instance)["SecurityGroups"]] == [group]


def test_states(api: Api) -> None:
    id = run(api)[0]["InstanceId"]
    assert api.error("StartInstances", InstanceIds=["i-0123456789abcdef0"]) == "InvalidInstanceID.NotFound"
    api.settle()
    api.call("RebootInstances", InstanceIds=[id])
    stopped = api.call("StopInstances", InstanceIds=[id])["StoppingInstances"][0]
    assert (stopped["PreviousState"]["Name"], stopped["CurrentState"]["Name"]) == ("running", "stopping")
    assert api.error("RebootInstances", InstanceIds=[id]) == "IncorrectInstanceState"
    api.settle()
    assert "PublicIpAddress" not in shown(api, id)
    api.call("ModifyInstanceAttribute", InstanceId=id, UserData={"Value": b"#!/bin/sh\n"})
    read = api.call("DescribeInstanceAttribute", InstanceId=id, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(read) == b"#!/bin/sh\n"
    api.call("StartInstances", InstanceIds=[id])
    api.settle()
    assert shown(api, id)["PublicIpAddress"]
    assert (
        api.error("ModifyInstanceAttribute", InstanceId=id, InstanceType={"Value": "t3.nano"})
        == "IncorrectInstanceState"
    )
    eni = shown(api, id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    api.call("TerminateInstances", InstanceIds=[id])
    assert api.error("DescribeNetworkInterfaces", NetworkInterfaceIds=[eni]) == "InvalidNetworkInterfaceID.NotFound"
    api.settle()
    assert shown(api, id)["State"]["Name"] == InstanceState.TERMINATED.label


def test_termination_protection(api: Api) -> None:
    id = run(api, DisableApiTermination=True)[0]["InstanceId"]
    assert api.error("TerminateInstances", InstanceIds=[id]) == "OperationNotPermitted"
    api.call("ModifyInstanceAttribute", InstanceId=id, DisableApiTermination={"Value": False})
    api.call("TerminateInstances", InstanceIds=[id])


def test_metadata_options_read_back(api: Api) -> None:
    id = run(api, MetadataOptions={"HttpTokens": "optional", "HttpPutResponseHopLimit": 5})[0]["InstanceId"]
    assert shown(api, id)["MetadataOptions"]["HttpTokens"] == "optional"
    api.call("ModifyInstanceMetadataOptions", InstanceId=id, HttpEndpoint="disabled")
    options = shown(api, id)["MetadataOptions"]
    assert (options["HttpEndpoint"], options["HttpPutResponseHopLimit"]) == ("disabled", 5)


@pytest.mark.parametrize(
    ("spec", "ok"),
    [
        ({"TcpEstablishedTimeout": 60}, True),
        ({"TcpEstablishedTimeout": 432000, "UdpStreamTimeout": 60, "UdpTimeout": 30}, True),
        ({"TcpEstablishedTimeout": 59}, False),
        ({"TcpEstablishedTimeout": 432001}, False),
        ({"UdpStreamTimeout": 59}, False),
        ({"UdpStreamTimeout": 181}, False),
        ({"UdpTimeout": 29}, False),
        ({"UdpTimeout": 61}, False),
    ],
)
def test_ct_13_to_16_timeouts(api: Api, spec: dict[str, int], ok: bool) -> None:
    subnet = api.subnet(api.vpc())
    eni = api.interface(subnet)
    change = {"NetworkInterfaceId": eni, "ConnectionTrackingSpecification": spec}
    if not ok:
        assert api.error("ModifyNetworkInterfaceAttribute", **change) == "InvalidParameterValue"
        refused = api.error("CreateNetworkInterface", SubnetId=subnet, ConnectionTrackingSpecification=spec)
        assert refused == "InvalidParameterValue"
        return
    api.call("ModifyNetworkInterfaceAttribute", **change)
    found = api.call("DescribeNetworkInterfaces", NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]
    assert spec.items() <= found["ConnectionTrackingConfiguration"].items()


def test_interface_addresses(api: Api) -> None:
    vpc = api.vpc(AmazonProvidedIpv6CidrBlock=True)
    block = api.call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    subnet = api.subnet(vpc, Ipv6CidrBlock=block.replace("/56", "/64"))
    eni = api.interface(subnet, PrivateIpAddress="10.0.0.50", SecondaryPrivateIpAddressCount=2, Ipv6AddressCount=1)
    assert (
        api.error("CreateNetworkInterface", SubnetId=subnet, PrivateIpAddress="10.0.0.50") == "InvalidIPAddress.InUse"
    )
    found = api.call("DescribeNetworkInterfaces", NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]
    assert [a["PrivateIpAddress"] for a in found["PrivateIpAddresses"]] == ["10.0.0.50", "10.0.0.4", "10.0.0.5"]
    assert len(found["Ipv6Addresses"]) == 1
    primary = {"NetworkInterfaceId": eni, "PrivateIpAddresses": ["10.0.0.50"]}
    assert api.error("UnassignPrivateIpAddresses", **primary) == "InvalidParameterValue"
    api.call("UnassignPrivateIpAddresses", NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.0.4"])
    other = api.interface(subnet)
    take = {"NetworkInterfaceId": other, "PrivateIpAddresses": ["10.0.0.5"]}
    assert api.error("AssignPrivateIpAddresses", **take) == "InvalidIPAddress.InUse"
    api.call("AssignPrivateIpAddresses", **take, AllowReassignment=True)


def test_attach_and_detach(api: Api) -> None:
    instance = run(api)[0]
    api.settle()
    eni = api.interface(instance["SubnetId"])
    attach = {"NetworkInterfaceId": eni, "InstanceId": instance["InstanceId"]}
    assert api.error("AttachNetworkInterface", **attach, DeviceIndex=0) == "InvalidParameterValue"
    id = api.call("AttachNetworkInterface", **attach, DeviceIndex=1)["AttachmentId"]
    assert api.error("DeleteNetworkInterface", NetworkInterfaceId=eni) == "InvalidParameterValue"
    primary = instance["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    assert api.error("DetachNetworkInterface", AttachmentId=primary) == "OperationNotPermitted"
    api.call("DetachNetworkInterface", AttachmentId=id)
    api.call("DeleteNetworkInterface", NetworkInterfaceId=eni)


def test_igw_13_elastic_ip_replaces_the_lent_address(api: Api) -> None:
    instance = run(api)[0]
    address = api.call("AllocateAddress")
    api.call("AssociateAddress", AllocationId=address["AllocationId"], InstanceId=instance["InstanceId"])
    assert shown(api, instance["InstanceId"])["PublicIpAddress"] == address["PublicIp"] != instance["PublicIpAddress"]


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_key_pairs(api: Api, kind: str) -> None:
    made = api.call("CreateKeyPair", KeyName="k", KeyType=kind)
    assert "PRIVATE KEY" in made["KeyMaterial"]
    assert api.error("CreateKeyPair", KeyName="k") == "InvalidKeyPair.Duplicate"
    listed = api.call("DescribeKeyPairs", KeyNames=["k"], IncludePublicKey=True)["KeyPairs"][0]
    assert listed["KeyFingerprint"] == made["KeyFingerprint"]
    api.call("ImportKeyPair", KeyName="copy", PublicKeyMaterial=listed["PublicKey"].encode())
    assert api.error("ImportKeyPair", KeyName="bad", PublicKeyMaterial=b"junk") == "InvalidKey.Format"
    api.call("DeleteKeyPair", KeyName="k")
    assert api.error("DescribeKeyPairs", KeyNames=["k"]) == "InvalidKeyPair.NotFound"


def test_tags(api: Api) -> None:
    vpc = api.vpc(TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "one"}]}])
    group = api.group(vpc)
    rule = api.call("DescribeSecurityGroupRules", Filters=[{"Name": "group-id", "Values": [group]}])[
        "SecurityGroupRules"
    ][0]
    resources = [vpc, group, rule["SecurityGroupRuleId"]]
    api.call(
        "CreateTags", Resources=resources, Tags=[{"Key": "Stack", "Value": "test"}, {"Key": "Name", "Value": "two"}]
    )
    listed = api.call("DescribeTags", Filters=[{"Name": "key", "Values": ["Stack"]}])["Tags"]
    assert {(t["ResourceId"], t["ResourceType"]) for t in listed} == {
        (vpc, "vpc"), (group, "security-group"), (rule["SecurityGroupRuleId"], "security-group-rule"),
    }  # fmt: skip
    found = api.call("DescribeVpcs", Filters=[{"Name": "tag:Name", "Values": ["tw*"]}])["Vpcs"]
    assert [v["VpcId"] for v in found] == [vpc]
    api.call("DeleteTags", Resources=[vpc], Tags=[{"Key": "Stack", "Value": "other"}])
    api.call("DeleteTags", Resources=[vpc], Tags=[{"Key": "Name"}])
    assert api.call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Tags"] == [{"Key": "Stack", "Value": "test"}]
    assert (
        api.error("CreateTags", Resources=["vpc-0123456789abcdef0"], Tags=[{"Key": "a", "Value": "b"}])
        == "InvalidVpcID.NotFound"
    )
    assert api.error("CreateTags", Resources=[vpc], Tags=[{"Key": "aws:x", "Value": "b"}]) == "InvalidParameterValue"
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(50)]
    assert api.error("CreateTags", Resources=[vpc], Tags=many) == "TagLimitExceeded"
    wrong = [{"ResourceType": "subnet", "Tags": [{"Key": "a", "Value": "b"}]}]
    assert api.error("CreateVpc", CidrBlock="10.5.0.0/16", TagSpecifications=wrong) == "InvalidParameter"


def test_images(api: Api, tmp_path: Path) -> None:
    images = api.call("DescribeImages", Filters=[{"Name": "name", "Values": ["Fedora-Cloud-Base-*.x86_64-4*"]}])[
        "Images"
    ]
    assert [i["OwnerId"] for i in images] == ["125523088429"]
    assert api.error("RegisterImage", Name="x", ImageLocation="bucket/x.manifest") == "UnsupportedOperation"
    assert api.error("RegisterImage", Name="x", ImageLocation="file:/srv/root") == "InvalidManifest"
    (tmp_path / "root").mkdir()
    api.images = Images((tmp_path,))
    mine = api.call("RegisterImage", Name="x", ImageLocation=f"file:{tmp_path}/root")["ImageId"]
    assert [i["ImageId"] for i in api.call("DescribeImages", Owners=["self"])["Images"]] == [mine]
    api.call("DeregisterImage", ImageId=mine)


def test_only_directories_of_the_installation_are_images(api: Api, tmp_path: Path) -> None:
    """What is elsewhere, what leads elsewhere, what is hidden, what is no directory: one answer, nothing registered."""
    images, outside = tmp_path / "images", tmp_path / "outside"
    for path in (images / "root" / "usr", images / ".unpacked" / "x", outside / "root"):
        path.mkdir(parents=True)
    (images / "file").touch()
    (images / "out").symlink_to(outside)
    (images / "in").symlink_to(images / "root")
    api.images = Images((images,))
    refused = [outside / "root", images, images / "out", images / "out" / "root", images / "in", images / "in" / "usr",
               images / "file", images / "none", images / ".unpacked" / "x", Path("/"), Path("/etc"), tmp_path]  # fmt: skip
    for path in refused:
        assert api.error("RegisterImage", Name="x", ImageLocation=f"file:{path}") == "InvalidManifest", path
    assert (
        api.error("RegisterImage", Name="x", ImageLocation=f"file:{images}/../outside/root") == "UnsupportedOperation"
    )
    assert api.error("RegisterImage", Name="x", ImageLocation=f"file:{images}/root\0") == "InvalidManifest"
    assert api.call("DescribeImages", Owners=["self"])["Images"] == []
    mine = api.call("RegisterImage", Name="x", ImageLocation=f"file:{images}/root")["ImageId"]
    [found] = api.call("DescribeImages", ImageIds=[mine])["Images"]
    assert (found["State"], found["ImageLocation"]) == ("available", f"file:{images}/root")


def test_an_oci_layout_is_pending_until_it_is_unpacked(api: Api, tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "oci-layout").write_text("{}")
    api.images = Images((tmp_path,))
    mine = api.call("RegisterImage", Name="x", ImageLocation=f"file:{tmp_path}/layout")["ImageId"]
    assert api.call("DescribeImages", ImageIds=[mine])["Images"][0]["State"] == "pending"
    vpc = api.call("CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = api.call("CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    wanted = {"ImageId": mine, "MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
    assert api.error("RunInstances", **wanted) == "InvalidAMIID.Unavailable"

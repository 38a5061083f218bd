"""Instance types (EC2 API Reference: DescribeInstanceTypeOfferings, ModifyInstanceAttribute; error codes)."""

from __future__ import annotations

from tests.api.ops.harness import Api


def named(name: str, value: str) -> list[dict[str, object]]:
    return [{"Name": name, "Values": [value]}]


def test_every_type_that_can_be_launched_is_offered_in_every_place() -> None:
    api = Api()
    region = api.call("DescribeInstanceTypeOfferings", Filters=named("instance-type", "t3.micro"))
    assert region["InstanceTypeOfferings"] == [
        {"InstanceType": "t3.micro", "LocationType": "region", "Location": "us-east-1"}
    ]
    zones = api.call(
        "DescribeInstanceTypeOfferings", LocationType="availability-zone", Filters=named("instance-type", "t3.micro")
    )["InstanceTypeOfferings"]
    assert [zone["Location"] for zone in zones] == [f"us-east-1{letter}" for letter in "abcdef"]
    ids = api.call(
        "DescribeInstanceTypeOfferings", LocationType="availability-zone-id", Filters=named("location", "use1-az6"),
        MaxResults=100,
    )  # fmt: skip
    assert len(ids["InstanceTypeOfferings"]) == 100
    assert ids["NextToken"]
    assert api.error("DescribeInstanceTypeOfferings", LocationType="outpost") == "UnsupportedOperation"


def test_an_instance_gets_only_a_type_there_is() -> None:
    api = Api(defaults=True)
    id = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    api.settle()
    api.call("StopInstances", InstanceIds=[id])
    api.settle()
    wrong = {"InstanceId": id, "InstanceType": {"Value": "t9.huge"}}
    assert api.error("ModifyInstanceAttribute", **wrong) == "InvalidInstanceAttributeValue"
    api.call("ModifyInstanceAttribute", InstanceId=id, InstanceType={"Value": "t3.micro"})


def test_a_type_says_how_many_interfaces_and_addresses_it_takes() -> None:
    api = Api()
    found = api.call("DescribeInstanceTypes", InstanceTypes=["t3.micro", "p4d.24xlarge", "m5.metal"])["InstanceTypes"]
    micro, many, metal = sorted(
        found, key=lambda each: ["t3.micro", "p4d.24xlarge", "m5.metal"].index(each["InstanceType"])
    )
    assert micro["NetworkInfo"] == {
        "NetworkPerformance": "Up to 5 Gigabit", "MaximumNetworkInterfaces": 2, "MaximumNetworkCards": 1,
        "DefaultNetworkCardIndex": 0, "Ipv4AddressesPerInterface": 2, "Ipv6AddressesPerInterface": 2, "Ipv6Supported": True,
        "EnaSupport": "required",
        "NetworkCards": [{"NetworkCardIndex": 0, "NetworkPerformance": "Up to 5 Gigabit", "MaximumNetworkInterfaces": 2}],
    }  # fmt: skip
    assert (micro["VCpuInfo"], micro["MemoryInfo"]) == (
        {"DefaultVCpus": 2, "DefaultCores": 1, "DefaultThreadsPerCore": 2},
        {"SizeInMiB": 1024},
    )
    assert [card["MaximumNetworkInterfaces"] for card in many["NetworkInfo"]["NetworkCards"]] == [15, 15, 15, 15]
    assert many["NetworkInfo"]["MaximumNetworkInterfaces"] == 60
    assert (metal["BareMetal"], "Hypervisor" in metal) == (True, False)


def test_types_are_found_by_what_they_are() -> None:
    api = Api()
    filters = [*named("network-info.maximum-network-interfaces", "2"), *named("burstable-performance-supported", "true"),
               *named("processor-info.supported-architecture", "arm64")]  # fmt: skip
    found = api.call("DescribeInstanceTypes", Filters=filters)["InstanceTypes"]
    assert [each["InstanceType"] for each in found] == ["t4g.micro", "t4g.nano"]
    first = api.call("DescribeInstanceTypes", MaxResults=100)
    assert len(first["InstanceTypes"]) == 100
    following = api.call("DescribeInstanceTypes", MaxResults=5, NextToken=first["NextToken"])["InstanceTypes"]
    assert following[0]["InstanceType"] > first["InstanceTypes"][-1]["InstanceType"]
    assert api.error("DescribeInstanceTypes", InstanceTypes=["p2.xlarge"]) == "InvalidInstanceType"
    assert api.error("DescribeInstanceTypes", MaxResults=101) == "InvalidParameterValue"
    assert api.error("DescribeInstanceTypes", InstanceTypes=["t3.micro"], MaxResults=5) == "InvalidParameterCombination"
    assert api.error("DescribeInstanceTypes", Filters=named("colour", "red")) == "InvalidParameterValue"


def test_an_instance_takes_no_more_interfaces_and_addresses_than_its_type() -> None:
    """AttachmentLimitExceeded and PrivateIpAddressLimitExceeded, at launch, at attachment and later; nothing is changed."""
    api = Api(defaults=True)
    subnet = api.call("DescribeSubnets")["Subnets"][0]["SubnetId"]
    launch = {"ImageId": api.image(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}

    def interfaces(*addresses: int) -> list[dict[str, object]]:
        return [
            {"DeviceIndex": n, "SubnetId": subnet, "SecondaryPrivateIpAddressCount": count - 1}
            for n, count in enumerate(addresses)
        ]

    assert api.error("RunInstances", **launch, NetworkInterfaces=interfaces(1, 1, 1)) == "AttachmentLimitExceeded"
    assert api.error("RunInstances", **launch, NetworkInterfaces=interfaces(3)) == "PrivateIpAddressLimitExceeded"
    assert api.call("DescribeInstances")["Reservations"] == []
    made = api.call("RunInstances", **launch, NetworkInterfaces=interfaces(2))["Instances"][0]
    api.settle()
    primary = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
    more = {"NetworkInterfaceId": primary, "SecondaryPrivateIpAddressCount": 1}
    assert api.error("AssignPrivateIpAddresses", **more) == "PrivateIpAddressLimitExceeded"
    spare = [
        api.call("CreateNetworkInterface", SubnetId=subnet, SecondaryPrivateIpAddressCount=count)["NetworkInterface"]
        for count in (2, 1, 0)
    ]

    def attach(number: int, device: int) -> dict[str, object]:
        return {"NetworkInterfaceId": spare[number]["NetworkInterfaceId"], "InstanceId": made["InstanceId"],
                "DeviceIndex": device}  # fmt: skip

    assert api.error("AttachNetworkInterface", **attach(0, 1)) == "PrivateIpAddressLimitExceeded"
    api.call("AttachNetworkInterface", **attach(1, 1))
    assert api.error("AttachNetworkInterface", **attach(2, 2)) == "AttachmentLimitExceeded"
    api.call(
        "AssignPrivateIpAddresses", NetworkInterfaceId=spare[2]["NetworkInterfaceId"], SecondaryPrivateIpAddressCount=9
    )
    api.call("StopInstances", InstanceIds=[made["InstanceId"]])
    api.settle()
    api.call("ModifyInstanceAttribute", InstanceId=made["InstanceId"], InstanceType={"Value": "t3.medium"})
    api.call(
        "AttachNetworkInterface",
        **attach(2, 2)
        | {
            "NetworkInterfaceId": api.call("CreateNetworkInterface", SubnetId=subnet)["NetworkInterface"][
                "NetworkInterfaceId"
            ]
        },
    )
    smaller = {"InstanceId": made["InstanceId"], "InstanceType": {"Value": "t3.micro"}}
    assert api.error("ModifyInstanceAttribute", **smaller) == "AttachmentLimitExceeded"


def test_a_type_without_data_is_not_launched() -> None:
    api = Api(defaults=True)
    launch = {"ImageId": api.image(), "InstanceType": "p2.xlarge", "MinCount": 1, "MaxCount": 1}
    assert api.error("RunInstances", **launch) == "Unsupported"

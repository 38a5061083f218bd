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

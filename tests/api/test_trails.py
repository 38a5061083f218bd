"""Trails end to end below the server: recorded, delivered, digested, signed; selectors; events looked up (MON-11…13, DATA-12)."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import ringfence.api.ops.cloudtrail  # noqa: F401  fills the registry
from ringfence import deliveries
from ringfence.keyfile import public_part
from ringfence.model.kinds import BUCKET
from ringfence.model.nouns.trail import Bucket
from ringfence.model.world import put
from ringfence.store.buckets import BucketFiles
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, Front

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Lab:
    """A front with a bucket, and a deliverer that runs when told."""

    def __init__(self, folder: Path) -> None:
        self.files = BucketFiles(folder / "buckets")
        self.front, self.later = Front(objects=self.files), 0.0
        self.folder = folder / "trails"
        self.front.store.write(
            lambda _: Commit(change=put(BUCKET, Bucket(id="logs", owner_id=ACCOUNT, region="us-east-1", created=0)))
        )
        self.restart()
        self.trail, self.ec2 = self.front.client("cloudtrail"), self.front.client("ec2")

    def restart(self) -> None:
        self.deliverer = deliveries.Deliverer(
            self.front.store, self.files, self.folder, self, KEY, public_part(KEY)[1], self.front.service_keys(self)
        )
        self.front.pipeline.outside = deliveries.FromHere(self.front.store, self.deliverer)

    def now(self) -> datetime:
        """The deliverer's clock: the calls' own, plus hours that the calls' signatures would not bear."""
        return self.front.clock.now() + timedelta(seconds=self.later)

    def pass_time(self, seconds: float) -> None:
        self.front.clock.skew += timedelta(seconds=seconds)

    def start(self, name: str = "all", **more: Any) -> None:
        self.trail.create_trail(Name=name, S3BucketName="logs", **more)
        self.trail.start_logging(Name=name)

    def delivered(self, kind: str = "CloudTrail") -> list[dict[str, Any]]:
        """Documents of the log files, or of the digests, in order of their names."""
        keys = [key for key in self.files.keys("logs") if f"/{kind}/" in key]
        return [json.loads(gzip.decompress(self.files.read("logs", key))) for key in keys]

    def names(self) -> list[str]:
        return [record["eventName"] for document in self.delivered() for record in document["Records"]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def refused(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_calls_are_delivered_once_in_cloudtrails_shape(lab: Lab) -> None:
    lab.ec2.describe_vpcs()  # before the trail starts: not its business
    lab.start()
    lab.pass_time(5)
    group = lab.ec2.create_security_group(GroupName="web", Description="d")["GroupId"]
    lab.ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
    )
    refused(lab.ec2.delete_security_group, GroupId="sg-0123456789abcdef0")
    lab.deliverer.deliver()
    lab.restart()
    lab.deliverer.deliver()
    assert lab.names() == [
        "StartLogging",
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "DeleteSecurityGroup",
    ]
    records = {record["eventName"]: record for document in lab.delivered() for record in document["Records"]}
    made, rule, gone = (
        records["CreateSecurityGroup"],
        records["AuthorizeSecurityGroupIngress"],
        records["DeleteSecurityGroup"],
    )
    assert made["requestParameters"]["groupName"] == "web"
    assert made["responseElements"]["groupId"] == group
    assert made["responseElements"]["requestId"] == made["requestID"]
    assert made["eventTime"].endswith("Z")
    assert "." not in made["eventTime"]
    assert (made["managementEvent"], made["eventCategory"], made["readOnly"]) == (True, "Management", False)
    ranges = rule["requestParameters"]["ipPermissions"]["items"][0]["ipRanges"]["items"]
    assert ranges == [{"cidrIp": "10.0.0.0/8"}]
    assert rule["responseElements"]["securityGroupRuleSet"]["items"][0]["groupId"] == group
    assert gone["errorCode"] == "Client.InvalidGroup.NotFound"
    assert "responseElements" not in gone
    (key,) = [key for key in lab.files.keys("logs") if "/CloudTrail/" in key]
    assert key.startswith(f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/")


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        ({"EventSelectors": [{"ReadWriteType": "WriteOnly"}]}, {"CreateVpc", "PutEventSelectors"}),
        ({"EventSelectors": [{"ReadWriteType": "ReadOnly"}]}, {"DescribeVpcs"}),
        ({"EventSelectors": [{"IncludeManagementEvents": False}]}, set()),
        ({"AdvancedEventSelectors": [{"Name": "x", "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "eventName", "StartsWith": ["Create"]}]}]}, {"CreateVpc"}),
        ({"AdvancedEventSelectors": [{"FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "eventSource", "NotEquals": ["cloudtrail.amazonaws.com"]},
            {"Field": "readOnly", "Equals": ["true"]}]}]}, {"DescribeVpcs"}),
    ],
)  # fmt: skip
def test_selectors_choose(lab: Lab, selectors: dict[str, Any], names: set[str]) -> None:
    lab.start()
    lab.pass_time(2)
    lab.deliverer.deliver()
    before = Counter(lab.names())
    lab.trail.put_event_selectors(TrailName="all", **selectors)
    got = lab.trail.get_event_selectors(TrailName="all")
    assert set(got) & {"EventSelectors", "AdvancedEventSelectors"} == set(selectors)
    lab.ec2.describe_vpcs()
    lab.ec2.create_vpc(CidrBlock="10.9.0.0/16")
    lab.deliverer.deliver()
    assert set(Counter(lab.names()) - before) - {"GetEventSelectors"} == names


def test_other_regions_only_for_multi_region_trails(lab: Lab) -> None:
    lab.start("home")
    lab.front.client("ec2", region="eu-west-1").describe_vpcs()
    lab.deliverer.deliver()
    assert "DescribeVpcs" not in lab.names()
    lab.start("everywhere", IsMultiRegionTrail=True)
    lab.front.client("ec2", region="eu-west-1").describe_vpcs()
    lab.deliverer.deliver()
    assert [key for key in lab.files.keys("logs") if "/eu-west-1/" in key]


def test_digests_chain_and_are_signed(lab: Lab) -> None:
    lab.start(EnableLogFileValidation=True)
    for _ in range(3):
        lab.ec2.describe_vpcs()
        lab.deliverer.deliver()
        lab.later += 3600
    lab.deliverer.deliver()
    digests = lab.delivered("CloudTrail-Digest")
    assert len(digests) == 3
    before = None
    for key, digest in zip([k for k in lab.files.keys("logs") if "-Digest/" in k], digests, strict=True):
        body = gzip.decompress(lab.files.read("logs", key))
        about = lab.files.find("logs", key)
        assert about is not None
        text = f"{digest['digestEndTime']}\nlogs/{key}\n{hashlib.sha256(body).hexdigest()}\n{digest['previousDigestSignature'] or 'null'}"
        KEY.public_key().verify(
            bytes.fromhex(about.metadata["signature"]), text.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        assert digest["previousDigestSignature"] == before
        before = about.metadata["signature"]
        for file in digest["logFiles"]:
            assert (
                hashlib.sha256(gzip.decompress(lab.files.read("logs", file["s3Object"]))).hexdigest()
                == file["hashValue"]
            )
    listed = {file["s3Object"] for digest in digests for file in digest["logFiles"]}
    assert listed == {key for key in lab.files.keys("logs") if "/CloudTrail/" in key}


def test_a_bucket_that_vanishes_loses_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.start()

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(lab.files, "put", full)
        lab.ec2.describe_vpcs()
        lab.deliverer.deliver()
        assert lab.trail.get_trail_status(Name="all")["LatestDeliveryError"] == "InternalError"
    lab.deliverer.deliver()
    assert "DescribeVpcs" in lab.names()
    status = lab.trail.get_trail_status(Name="all")
    assert "LatestDeliveryError" not in status
    assert status["IsLogging"] is True


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"Name": "a"}, "InvalidTrailNameException"), ({"Name": "1.2.3.4"}, "InvalidTrailNameException"),
        ({"Name": "t--x"}, "InvalidTrailNameException"), ({"S3BucketName": "nowhere"}, "S3BucketDoesNotExistException"),
        ({"S3BucketName": "No_Bucket"}, "InvalidS3BucketNameException"), ({"S3KeyPrefix": "/x"}, "InvalidS3PrefixException"),
        ({"KmsKeyId": "alias/nobodys"}, "KmsKeyNotFoundException"), ({"IsOrganizationTrail": True}, "UnsupportedOperationException"),
        ({"IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": False}, "InvalidParameterCombinationException"),
    ],
)  # fmt: skip
def test_a_wrong_trail_is_refused(lab: Lab, params: dict[str, Any], code: str) -> None:
    assert refused(lab.trail.create_trail, **({"Name": "ok1", "S3BucketName": "logs"} | params)) == code
    assert lab.trail.describe_trails()["trailList"] == []


def test_the_life_of_a_trail(lab: Lab) -> None:
    made = lab.trail.create_trail(
        Name="one", S3BucketName="logs", S3KeyPrefix="p", TagsList=[{"Key": "a", "Value": "b"}]
    )
    assert refused(lab.trail.create_trail, Name="one", S3BucketName="logs") == "TrailAlreadyExistsException"
    assert lab.trail.get_trail(Name=made["TrailARN"])["Trail"]["S3KeyPrefix"] == "p"
    assert lab.trail.list_tags(ResourceIdList=[made["TrailARN"]])["ResourceTagList"][0]["TagsList"] == [
        {"Key": "a", "Value": "b"}
    ]
    lab.trail.remove_tags(ResourceId=made["TrailARN"], TagsList=[{"Key": "a"}])
    lab.trail.update_trail(Name="one", IsMultiRegionTrail=True, EnableLogFileValidation=True)
    elsewhere = lab.front.client("cloudtrail", region="eu-west-1")
    assert [trail["HomeRegion"] for trail in elsewhere.describe_trails()["trailList"]] == ["us-east-1"]
    assert elsewhere.describe_trails(includeShadowTrails=False)["trailList"] == []
    assert refused(elsewhere.delete_trail, Name="one") == "InvalidHomeRegionException"
    assert lab.trail.list_trails()["Trails"][0]["Name"] == "one"
    lab.trail.delete_trail(Name="one")
    assert refused(lab.trail.get_trail_status, Name="one") == "TrailNotFoundException"
    assert refused(lab.trail.get_trail, Name="arn:aws:s3:::x") == "CloudTrailARNInvalidException"


# ---------------------------------------------------------------------- LookupEvents
def look(lab: Lab, key: str = "", value: str = "", **more: Any) -> list[str]:
    attributes = [{"AttributeKey": key, "AttributeValue": value}] if key else []
    pages = lab.trail.get_paginator("lookup_events").paginate(LookupAttributes=attributes, **more)
    return [event["EventName"] for page in pages for event in page["Events"]]


def test_events_are_found_by_every_attribute(lab: Lab) -> None:
    """MON-13."""
    vpc = lab.ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    lab.pass_time(10)
    lab.ec2.describe_subnets()
    lab.pass_time(10)
    refused(lab.ec2.delete_vpc, VpcId="vpc-0123456789abcdef0")
    assert look(lab, "EventName", "CreateVpc") == ["CreateVpc"]
    assert look(lab, "ResourceName", vpc) == ["CreateVpc"]
    assert look(lab, "ResourceType", "AWS::EC2::VPC") == ["DeleteVpc", "CreateVpc"]
    assert look(lab, "ReadOnly", "true", MaxResults=50)[-1] == "DescribeSubnets"
    assert look(lab, "EventSource", "ec2.amazonaws.com") == ["DeleteVpc", "DescribeSubnets", "CreateVpc"]
    assert look(lab, "Username", "root")[-1] == "CreateVpc"
    assert look(lab, "Username", "nobody") == []
    (event,) = lab.trail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateVpc"}])[
        "Events"
    ]
    assert {"ResourceType": "AWS::EC2::VPC", "ResourceName": vpc} in event["Resources"]
    assert json.loads(event["CloudTrailEvent"])["responseElements"]["vpc"]["vpcId"] == vpc
    assert look(lab, "EventId", event["EventId"]) == ["CreateVpc"]
    assert look(lab, "AccessKeyId", event["AccessKeyId"])[-1] == "CreateVpc"


def test_pages_time_and_region(lab: Lab) -> None:
    start = lab.front.clock.now()
    for _ in range(7):
        lab.ec2.describe_vpcs()
        lab.pass_time(60)
    found = lab.trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "DescribeVpcs"}],
        PaginationConfig={"PageSize": 3},
    )
    sizes = [len(page["Events"]) for page in found]
    assert sizes == [3, 3, 1]
    first = lab.trail.lookup_events(StartTime=start, EndTime=start)["Events"]
    assert [event["EventName"] for event in first] == ["DescribeVpcs"]
    assert lab.front.client("cloudtrail", region="eu-west-1").lookup_events()["Events"] == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"MaxResults": 51}, "InvalidMaxResultsException"), ({"NextToken": "rubbish"}, "InvalidNextTokenException"),
        ({"StartTime": 2000000000, "EndTime": 1000000000}, "InvalidTimeRangeException"),
        ({"LookupAttributes": [{"AttributeKey": "EventId", "AttributeValue": "a"}, {"AttributeKey": "EventId", "AttributeValue": "b"}]},
         "InvalidLookupAttributesException"),
        ({"EventCategory": "insight"}, "UnsupportedOperationException"),
    ],
)  # fmt: skip
def test_a_wrong_lookup_is_refused(lab: Lab, params: dict[str, Any], code: str) -> None:
    assert refused(lab.trail.lookup_events, **params) == code

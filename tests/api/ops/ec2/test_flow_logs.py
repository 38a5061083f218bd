"""CreateFlowLogs, DescribeFlowLogs, DeleteFlowLogs (FL-01 … FL-18, FL-43, FL-52, FL-53; D-09, D-10)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.api.ops.context import Call
from ringfence.api.outside import Delivery, FlowLogging, Nothing
from ringfence.insight.flowlogs.fields import DEFAULT, format_of
from ringfence.model.kinds import BUCKET, FLOW_LOG, VPC
from ringfence.model.nouns.trail import Bucket, BucketEncryption
from ringfence.model.world import put
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT as FRONT_ACCOUNT
from tests.api.front import Front
from tests.api.ops.harness import ACCOUNT, Api

ROLE = f"arn:aws:iam::{ACCOUNT}:role/flow-logs"
OTHER = "999999999999"
S3: dict[str, Any] = {"TrafficType": "ALL", "LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::logs/net"}
GROUP: dict[str, Any] = {"TrafficType": "ALL", "LogGroupName": "flows", "DeliverLogsPermissionArn": ROLE}


class Counting(Nothing):
    """An installation that counts packets, with deliveries as told."""

    def __init__(self, *sinks: str, parquet: bool = True) -> None:
        self.here: FlowLogging | None = FlowLogging(sinks=frozenset(sinks), parquet=parquet)
        self.deliveries: dict[str, Delivery] = {}

    def flow_logging(self) -> FlowLogging | None:
        return self.here

    def flow_delivery(self, flow_log_id: str) -> Delivery:
        return self.deliveries.get(flow_log_id, Delivery())


class FlowApi(Api):
    outside: Nothing = Counting("s3", "cloud-watch-logs")

    def _context(self, action: str) -> Call:
        return replace(super()._context(action), outside=self.outside)


def bucket(api: Api, name: str = "logs", owner: str = ACCOUNT, policy: Any = None) -> None:
    text = json.dumps(policy) if policy else None
    row = Bucket(id=name, owner_id=owner, region="us-east-1", created=0, policy=text)
    api.world = api.world.apply(put(BUCKET, row))


@pytest.fixture
def api() -> FlowApi:
    api = FlowApi()
    api.outside = Counting("s3", "cloud-watch-logs")
    bucket(api)
    return api


@pytest.fixture
def vpc(api: FlowApi) -> str:
    return api.vpc()


def create(api: Api, *ids: str, type: str = "VPC", **params: Any) -> Any:
    return api.call("CreateFlowLogs", ResourceIds=list(ids), ResourceType=type, **params)


def shown(api: Api, **params: Any) -> list[Any]:
    found: list[Any] = api.call("DescribeFlowLogs", **params)["FlowLogs"]
    return found


# ---------------------------------------------------------------------- made and shown
def test_a_flow_log_to_a_bucket(api: FlowApi, vpc: str) -> None:
    """FL-08, FL-10"""
    tags = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "a", "Value": "b"}]}]
    made = create(api, vpc, **S3, ClientToken="once", TagSpecifications=tags)
    assert made["ClientToken"] == "once"
    assert made["Unsuccessful"] == []
    (id,) = made["FlowLogIds"]
    assert id.startswith("fl-")
    (log,) = shown(api)
    created = log.pop("CreationTime")
    assert created == api.clock.now()
    assert log == {
        "FlowLogId": id, "FlowLogStatus": "ACTIVE", "DeliverLogsStatus": "SUCCESS", "ResourceId": vpc, "TrafficType": "ALL",
        "LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::logs/net", "LogFormat": format_of(DEFAULT),
        "MaxAggregationInterval": 600, "Tags": [{"Key": "a", "Value": "b"}],
        "DestinationOptions": {"FileFormat": "plain-text", "HiveCompatiblePartitions": False, "PerHourPartition": False},
    }  # fmt: skip


def test_a_flow_log_to_a_log_group(api: FlowApi, vpc: str) -> None:
    """FL-04: cloud-watch-logs is the default; a token is made when none is given."""
    made = create(api, vpc, **GROUP, LogFormat="${srcaddr} ${vpc-id}", MaxAggregationInterval=60)
    assert len(made["ClientToken"]) == 36
    (log,) = shown(api)
    assert (log["LogDestinationType"], log["LogGroupName"], log["DeliverLogsPermissionArn"]) == (
        "cloud-watch-logs",
        "flows",
        ROLE,
    )
    assert (log["LogFormat"], log["MaxAggregationInterval"]) == ("${srcaddr} ${vpc-id}", 60)
    assert "DestinationOptions" not in log
    assert "LogDestination" not in log


def test_options_and_tag_fields_are_kept(api: FlowApi, vpc: str) -> None:
    options = {"FileFormat": "parquet", "HiveCompatiblePartitions": True, "PerHourPartition": True}
    tags = [{"ResourceType": "instance", "TagKeys": ["team", "env"]}]
    create(api, vpc, **S3, DestinationOptions=options, TagFieldSpecifications=tags)
    (log,) = shown(api)
    assert log["DestinationOptions"] == options
    assert log["TagFieldSpecifications"] == tags


def test_one_for_each_resource(api: FlowApi, vpc: str) -> None:
    """FL-01"""
    subnet = api.subnet(vpc)
    enis = [api.interface(subnet, api.group(vpc, f"g{n}")) for n in range(2)]
    assert len(create(api, *enis, enis[0], type="NetworkInterface", **S3)["FlowLogIds"]) == 2
    assert len(create(api, subnet, type="Subnet", **S3)["FlowLogIds"]) == 1
    assert [log["ResourceId"] for log in shown(api)] == [*enis, subnet]


# ---------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("base", "change", "code", "text"),
    [
        (S3, {"MaxAggregationInterval": 300}, "InvalidParameter", "Max Aggregation Interval"),  # FL-03
        (S3, {"MaxAggregationInterval": 0}, "InvalidParameter", "Max Aggregation Interval"),
        (S3, {"TrafficType": None}, "MissingParameter", "TrafficType"),  # FL-02
        (S3, {"TrafficType": "SOME"}, "InvalidParameter", "SOME"),
        (GROUP, {"LogDestination": "arn:aws:logs:us-east-1:1:log-group:x"}, "InvalidParameter", "Please only provide"),  # FL-05
        (S3, {"LogGroupName": "g", "LogDestination": None}, "InvalidParameter", "type must be cloud-watch-logs"),
        (S3, {"LogDestination": None}, "InvalidParameter", "LogDestination can't be empty"),
        (GROUP, {"LogGroupName": None}, "InvalidParameter", "LogDestination can't be empty"),
        (GROUP, {"DeliverLogsPermissionArn": None}, "InvalidParameter", "can't be empty"),  # FL-07
        (GROUP, {"DeliverLogsPermissionArn": "flow-logs"}, "InvalidParameter", "not the ARN of a role"),
        (S3, {"DeliverLogsPermissionArn": ROLE}, "InvalidParameter", "not applicable for s3"),
        (GROUP, {"LogGroupName": "a b"}, "InvalidParameter", "LogGroupName"),
        (S3, {"LogDestination": "logs"}, "InvalidParameter", "not the ARN of a bucket"),
        (S3, {"LogDestination": "arn:aws:s3:::logs/../x"}, None, ""),
        (S3, {"LogDestination": "arn:aws:s3:::logs/AWSLogs/x"}, "InvalidParameter", "reserved"),  # FL-52
        (S3, {"LogDestination": "arn:aws:s3:::logs/a//b"}, "InvalidParameter", "empty"),
        (S3, {"LogDestinationType": "tape"}, "InvalidParameter", "tape"),
        (S3, {"LogDestinationType": "kinesis-data-firehose"}, "InvalidParameter", "not the ARN of a delivery stream"),
        (
            S3, {"LogDestinationType": "kinesis-data-firehose",
                 "LogDestination": "arn:aws:firehose:us-east-1:111122223333:deliverystream/x"},
            "UnsupportedOperation", "firehose",
        ),
        (
            S3, {"LogDestinationType": "kinesis-data-firehose",
                 "LogDestination": f"arn:aws:firehose:us-east-1:{OTHER}:deliverystream/x"},
            "UnsupportedOperation", "another account",
        ),
        (S3, {"LogFormat": "${srcaddr} ${ringfence-reason}"}, "InvalidParameter", "unknown field: ringfence-reason"),  # FL-43
        (S3, {"LogFormat": ""}, "InvalidParameter", "at least one"),
        (S3, {"LogFormat": "srcaddr"}, "InvalidParameter", "srcaddr"),
        (S3, {"DestinationOptions": {"FileFormat": "csv"}}, "InvalidParameter", "csv"),
        (GROUP, {"DestinationOptions": {"PerHourPartition": True}}, "InvalidParameter", "only applicable for s3"),
        (S3, {"ResourceType": "TransitGateway"}, "UnsupportedOperation", "TransitGateway"),
        (S3, {"ResourceType": "Moon"}, "InvalidParameter", "Moon"),
        (S3, {"ResourceIds": []}, "MissingParameter", "ResourceId"),
        (S3, {"ResourceIds": [f"vpc-{n:017x}" for n in range(301)]}, "InvalidParameter", "at most 300"),
        (S3, {"ResourceIds": ["vpc-0123456789abcdef0"]}, "InvalidVpcID.NotFound", "does not exist"),
        (S3, {"ResourceIds": ["banana"]}, "InvalidVpcID.Malformed", "banana"),
        (S3, {"DeliverCrossAccountRole": ROLE}, "UnsupportedOperation", "across accounts"),
        (S3, {"TagFieldSpecifications": [{"ResourceType": "vpc", "TagKeys": ["a"]}]}, "InvalidParameter", "vpc"),
        (S3, {"TagFieldSpecifications": [{"ResourceType": "instance", "TagKeys": ["a", "b", "c"]}]}, "InvalidParameter", "tag keys"),
        (S3, {"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]}, "InvalidParameter", "taggable"),
        (
            GROUP,
            {"LogGroupName": None, "LogDestination": f"arn:aws:logs:us-east-1:{OTHER}:log-group:x"},
            "UnsupportedOperation", "another account",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(
    api: FlowApi, vpc: str, base: dict[str, Any], change: dict[str, Any], code: str | None, text: str
) -> None:
    params = {"ResourceIds": [vpc], "ResourceType": "VPC", **base, **change}
    params = {name: value for name, value in params.items() if value is not None}
    if code is None:  # a folder of an odd name stays inside the bucket (`store/buckets.py`)
        assert api.call("CreateFlowLogs", **params)["FlowLogIds"]
        return
    assert api.error("CreateFlowLogs", **params) == code
    with pytest.raises(Exception, match=text.replace("(", r"\(")):
        api.call("CreateFlowLogs", **params)
    assert shown(api) == []


def test_nothing_is_promised_where_packets_are_not_counted(api: FlowApi, vpc: str) -> None:
    """Fail closed: a running installation has no counter yet, and says so after it has checked the request."""
    api.outside = Nothing()
    params = {"ResourceIds": [vpc], "ResourceType": "VPC", **S3}
    assert api.error("CreateFlowLogs", **params) == "UnsupportedOperation"
    assert api.error("CreateFlowLogs", **{**params, "LogFormat": "x"}) == "InvalidParameter"
    api.outside = Counting("s3", parquet=False)
    assert api.error("CreateFlowLogs", **params, DestinationOptions={"FileFormat": "parquet"}) == "UnsupportedOperation"
    group = {"ResourceIds": [vpc], "ResourceType": "VPC", **GROUP}
    assert api.error("CreateFlowLogs", **group) == "UnsupportedOperation"
    create(api, vpc, **S3)
    api.outside = Nothing()  # the next start counts no more
    assert [(log["DeliverLogsStatus"], log["DeliverLogsErrorMessage"]) for log in shown(api)] == [
        ("FAILED", "Unknown error")
    ]


def test_the_same_again(api: FlowApi, vpc: str) -> None:
    """FL-09"""
    create(api, vpc, **S3)
    assert api.error("CreateFlowLogs", ResourceIds=[vpc], ResourceType="VPC", **S3) == "FlowLogAlreadyExists"
    for other in ({"TrafficType": "REJECT"}, {"LogFormat": "${srcaddr}"}, {"LogDestination": "arn:aws:s3:::logs"}):
        create(api, vpc, **{**S3, **other})
    create(api, api.vpc("10.1.0.0/16"), **S3)
    assert len(shown(api)) == 5


def test_the_quota() -> None:
    """FL-09, Q-30"""
    api = FlowApi(quotas={"flow-logs-per-resource": 1})
    bucket(api)
    vpc = api.vpc()
    create(api, vpc, **S3)
    params = {"ResourceIds": [vpc], "ResourceType": "VPC", **S3, "TrafficType": "REJECT"}
    assert api.error("CreateFlowLogs", **params) == "FlowLogsLimitExceeded"


# ---------------------------------------------------------------------- destinations
DELIVERY = {"Service": "delivery.logs.amazonaws.com"}
GUARD = {
    "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", "aws:SourceAccount": ACCOUNT},
    "ArnLike": {"aws:SourceArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:*"},
}


def statement(principal: Any, *, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    everything = {"Action": "s3:PutObject", "Resource": "arn:aws:s3:::theirs/*"}
    return {"Effect": effect, "Principal": principal, **everything, **more}


ACL = statement(DELIVERY, Action="s3:GetBucketAcl", Resource="arn:aws:s3:::theirs")


@pytest.mark.parametrize(
    ("owner", "of_bucket", "good"),
    [
        (ACCOUNT, None, True),
        (ACCOUNT, statement("*", effect="Deny"), False),
        (ACCOUNT, statement("*", Action="s3:GetObject"), True),
        (OTHER, None, False),
        (OTHER, [statement(DELIVERY, Resource=f"arn:aws:s3:::theirs/AWSLogs/{ACCOUNT}/*", Condition=GUARD), ACL], True),
        (OTHER, statement(DELIVERY, Resource=f"arn:aws:s3:::theirs/AWSLogs/{ACCOUNT}/*", Condition=GUARD), False),
        (OTHER, [statement(DELIVERY, Resource="arn:aws:s3:::theirs/elsewhere/*"), ACL], False),
        (OTHER, [statement(DELIVERY, Condition={"StringEquals": {"aws:SourceAccount": OTHER}}), ACL], False),
        (OTHER, [statement({"Service": "cloudtrail.amazonaws.com"}), ACL], False),
    ],
)  # fmt: skip
def test_the_bucket_must_admit_the_delivery(api: FlowApi, vpc: str, owner: str, of_bucket: Any, good: bool) -> None:
    """FL-53"""
    policy = {"Version": "2012-10-17", "Statement": of_bucket} if of_bucket else None
    bucket(api, "theirs", owner, policy)
    made = create(api, vpc, **{**S3, "LogDestination": "arn:aws:s3:::theirs"})
    assert bool(made["FlowLogIds"]) == good
    assert [item["ResourceId"] for item in made["Unsuccessful"]] == ([] if good else [vpc])
    assert all("Access Denied for LogDestination: theirs" in item["Error"]["Message"] for item in made["Unsuccessful"])
    assert len(shown(api)) == good


#: with what AWS adds, a little more than 20 KB
LONG: dict[str, Any] = {
    "Sid": "x", "Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::theirs/" + "x" * 19_900,
}  # fmt: skip
WHOLE = {
    "Sid": "d",
    "Effect": "Allow",
    "Principal": DELIVERY,
    "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::theirs/*",
}


@pytest.mark.parametrize(
    ("owner", "of_bucket", "good"),
    [
        (ACCOUNT, [LONG], False),
        (ACCOUNT, [{**LONG, "Resource": LONG["Resource"][:-1000]}], True),  # what AWS adds has room
        (ACCOUNT, [LONG, WHOLE, ACL], True),  # the guide's way out: nothing is left to be added
        (OTHER, [LONG, WHOLE, ACL], True),  # AWS adds nothing to others' buckets
    ],
)  # fmt: skip
def test_a_policy_without_room(api: FlowApi, vpc: str, owner: str, of_bucket: Any, good: bool) -> None:
    """FL-54: the policy with AWS's statements in it would exceed 20 KB; nothing is made of the whole request."""
    bucket(api, "theirs", owner, {"Version": "2012-10-17", "Statement": of_bucket})
    params = {"ResourceIds": [vpc], "ResourceType": "VPC", **S3, "LogDestination": "arn:aws:s3:::theirs/folder"}
    if good:
        assert api.call("CreateFlowLogs", **params)["Unsuccessful"] == []
    else:
        assert api.error("CreateFlowLogs", **params) == "LogDestinationPermissionIssue"
    assert len(shown(api)) == good


KEY_ID = "0a1b2c3d-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("encryption", "good"),
    [
        (BucketEncryption(algorithm="aws:kms", key=KEY_ID), False),
        (BucketEncryption(algorithm="aws:kms", key="alias/logs"), False),
        (BucketEncryption(algorithm="aws:kms", key=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{KEY_ID}"), True),
        (BucketEncryption(algorithm="aws:kms"), True),  # whether the key lets the service in shows at delivery (FL-57)
        (BucketEncryption(algorithm="AES256"), True),
    ],
)
def test_a_bucket_sealed_with_a_key_that_is_not_named_by_its_arn(
    api: FlowApi, vpc: str, encryption: BucketEncryption, good: bool
) -> None:
    """FL-55"""
    row = Bucket(id="sealed", owner_id=ACCOUNT, region="us-east-1", created=0, encryption=encryption)
    api.world = api.world.apply(put(BUCKET, row))
    made = create(api, vpc, **{**S3, "LogDestination": "arn:aws:s3:::sealed"})
    assert bool(made["FlowLogIds"]) == good
    assert [item["Error"]["Message"] for item in made["Unsuccessful"]] == (
        [] if good else ["LogDestination: sealed is undeliverable"]
    )


def test_only_what_is_ones_own(api: FlowApi, vpc: str) -> None:
    """FL-16: of a peering connection's VPCs those of the account; another account's subnet neither, shared or not."""
    other = api.vpc("10.1.0.0/16")
    api.call("CreateVpcPeeringConnection", VpcId=vpc, PeerVpcId=other)
    assert len(create(api, vpc, other, **S3)["FlowLogIds"]) == 2
    row = api.world.find(VPC, other)
    assert row is not None
    theirs = replace(row, id="vpc-0fffffffffffffff1", owner_id=OTHER)
    api.world = api.world.apply(put(VPC, theirs))
    params = {"ResourceIds": [vpc, theirs.id], "ResourceType": "VPC", **S3, "TrafficType": "REJECT"}
    assert api.error("CreateFlowLogs", **params) == "InvalidVpcID.NotFound"
    assert len(shown(api)) == 2


def test_a_bucket_that_does_not_exist(api: FlowApi, vpc: str) -> None:
    """FL-06, D-10: no exception; one item for each resource."""
    other = api.vpc("10.1.0.0/16")
    made = create(api, vpc, other, **{**S3, "LogDestination": "arn:aws:s3:::gone/x"})
    error = {"Code": "400", "Message": "LogDestination: gone does not exist"}
    assert made["FlowLogIds"] == []
    assert made["Unsuccessful"] == [{"ResourceId": vpc, "Error": error}, {"ResourceId": other, "Error": error}]


# ---------------------------------------------------------------------- read, ended
def test_filters_and_pages(api: FlowApi, vpc: str) -> None:
    """MON-22: by resource, status and the rest."""
    (bad,) = create(api, vpc, **S3)["FlowLogIds"]
    (good,) = create(api, vpc, **GROUP)["FlowLogIds"]
    assert isinstance(api.outside, Counting)
    api.outside.deliveries[bad] = Delivery(error="Access error")
    for name, value, expected in (
        ("deliver-log-status", "FAILED", [bad]),
        ("deliver-log-status", "SUCCESS", [good]),
        ("log-destination-type", "s3", [bad]),
        ("flow-log-id", good, [good]),
        ("log-group-name", "flow*", [good]),
        ("resource-id", vpc, [bad, good]),
        ("traffic-type", "REJECT", []),
        ("tag:a", "b", []),
    ):
        found = shown(api, Filter=[{"Name": name, "Values": [value]}])
        assert [log["FlowLogId"] for log in found] == expected, name
    assert api.error("DescribeFlowLogs", Filter=[{"Name": "colour", "Values": ["x"]}]) == "InvalidParameterValue"
    assert api.error("DescribeFlowLogs", FlowLogIds=["fl-0123456789abcdef0"]) == "InvalidFlowLogId.NotFound"
    assert shown(api, FlowLogIds=[bad])[0]["DeliverLogsErrorMessage"] == "Access error"


def test_tags_are_all_that_changes(api: FlowApi, vpc: str) -> None:
    """FL-12"""
    (id,) = create(api, vpc, **S3)["FlowLogIds"]
    api.call("CreateTags", Resources=[id], Tags=[{"Key": "x", "Value": "y"}])
    assert [log["FlowLogId"] for log in shown(api, Filter=[{"Name": "tag:x", "Values": ["y"]}])] == [id]


def test_delete(api: FlowApi, vpc: str) -> None:
    """FL-13: one unknown id, and none is deleted."""
    ids = [create(api, vpc, **S3)["FlowLogIds"][0], create(api, vpc, **GROUP)["FlowLogIds"][0]]
    assert api.error("DeleteFlowLogs", FlowLogIds=[ids[0], "fl-0123456789abcdef0"]) == "InvalidFlowLogId.NotFound"
    assert api.error("DeleteFlowLogs", FlowLogIds=[]) == "MissingParameter"
    assert api.call("DeleteFlowLogs", FlowLogIds=[ids[0], ids[0]]) == {"Unsuccessful": []}
    assert [log["FlowLogId"] for log in shown(api)] == ids[1:]


def test_they_go_with_their_resource(api: FlowApi, vpc: str) -> None:
    subnet = api.subnet(vpc)
    eni = api.interface(subnet, api.group(vpc))
    create(api, eni, type="NetworkInterface", **S3)
    create(api, subnet, type="Subnet", **S3)
    create(api, vpc, **S3)
    api.call("DeleteNetworkInterface", NetworkInterfaceId=eni)
    assert [log["ResourceId"] for log in shown(api)] == [subnet, vpc]
    api.call("DeleteSubnet", SubnetId=subnet)
    assert [log["ResourceId"] for log in shown(api)] == [vpc]
    group = next(g["GroupId"] for g in api.call("DescribeSecurityGroups")["SecurityGroups"] if g["GroupName"] == "web")
    api.call("DeleteSecurityGroup", GroupId=group)
    api.call("DeleteVpc", VpcId=vpc)
    assert shown(api) == []
    assert list(api.world.all(FLOW_LOG)) == []


def test_they_go_with_a_terminated_instances_interface() -> None:
    api = FlowApi(defaults=True)
    bucket(api)
    made = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1)["Instances"][0]
    api.settle()
    eni = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
    create(api, eni, type="NetworkInterface", **S3)
    api.call("TerminateInstances", InstanceIds=[made["InstanceId"]])
    api.settle()
    assert shown(api) == []


# ---------------------------------------------------------------------- who may
def _user(front: Front, *actions: str, **more: Any) -> Any:
    """A client of a new user that may do these."""
    iam, name = front.client("iam"), f"u{len(front.audit())}"
    iam.create_user(UserName=name)
    rows = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}, *more.get("rows", ())]
    document = json.dumps({"Version": "2012-10-17", "Statement": rows})
    iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return front.client("ec2", key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def _answer(call: Any, **params: Any) -> str:
    try:
        call(**params)
    except ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return "done"


def test_who_may_make_and_end_them() -> None:
    """POL-12, POL-14, IAM-34, FL-56: ec2:CreateFlowLogs, logs:CreateLogDelivery for a bucket, iam:PassRole for a role."""
    front = Front()
    front.pipeline.outside = Counting("s3", "cloud-watch-logs")
    front.store.write(
        lambda _: Commit(change=put(BUCKET, Bucket(id="logs", owner_id=FRONT_ACCOUNT, region="us-east-1", created=0)))
    )
    role = f"arn:aws:iam::{FRONT_ACCOUNT}:role/flow-logs"
    vpc = front.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    to_bucket = {"ResourceIds": [vpc], "ResourceType": "VPC", **S3}
    to_group = {"ResourceIds": [vpc], "ResourceType": "VPC", **GROUP, "DeliverLogsPermissionArn": role}
    own = ("ec2:CreateFlowLogs", "ec2:DescribeFlowLogs", "ec2:DeleteFlowLogs")
    plain, delivering = _user(front, *own), _user(front, *own, "logs:CreateLogDelivery")
    ending = _user(front, *own, "logs:DeleteLogDelivery")

    def passing(service: str) -> dict[str, Any]:
        condition = {"StringEquals": {"iam:PassedToService": service}}
        return {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role, "Condition": condition}

    assert _answer(_user(front, "ec2:Describe*").create_flow_logs, **to_bucket) == "UnauthorizedOperation"
    assert _answer(plain.create_flow_logs, **to_bucket) == "UnauthorizedOperation"
    assert _answer(plain.create_flow_logs, **to_group) == "UnauthorizedOperation"
    elsewhere = _user(front, *own, rows=[passing("ec2.amazonaws.com")])
    assert _answer(elsewhere.create_flow_logs, **to_group) == "UnauthorizedOperation"
    assert plain.describe_flow_logs()["FlowLogs"] == []
    assert _answer(delivering.create_flow_logs, **to_bucket, DryRun=True) == "DryRunOperation"
    assert _answer(delivering.create_flow_logs, **to_bucket) == "done"
    there = _user(front, *own, rows=[passing("vpc-flow-logs.amazonaws.com")])
    assert _answer(there.create_flow_logs, **to_group) == "done"
    bucket_log, group_log = (log["FlowLogId"] for log in plain.describe_flow_logs()["FlowLogs"])
    assert _answer(plain.delete_flow_logs, FlowLogIds=[bucket_log]) == "UnauthorizedOperation"
    assert _answer(plain.delete_flow_logs, FlowLogIds=[group_log]) == "done"
    assert _answer(ending.delete_flow_logs, FlowLogIds=[bucket_log]) == "done"


def test_a_repeated_token_makes_no_second_one() -> None:
    """INF-13: the same token and request answer the same; another request with it is refused."""
    front = Front()
    front.pipeline.outside = Counting("cloud-watch-logs")
    ec2 = front.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    params = {"ResourceIds": [vpc], "ResourceType": "VPC", **GROUP, "ClientToken": "once"}
    assert ec2.create_flow_logs(**params)["FlowLogIds"] == ec2.create_flow_logs(**params)["FlowLogIds"]
    assert _answer(ec2.create_flow_logs, **{**params, "TrafficType": "REJECT"}) == "IdempotentParameterMismatch"
    assert len(ec2.describe_flow_logs()["FlowLogs"]) == 1
    assert ec2.describe_flow_logs(Filters=[{"Name": "traffic-type", "Values": ["ALL"]}])["FlowLogs"]

"""Log groups, streams, tags and resource policies over the wire, as boto3 drives them (MON-06, MON-07)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.ops.logs.lab import ARN, Lab, code


def test_groups_are_made_described_by_prefix_and_pattern_and_deleted(lab: Lab) -> None:
    for name in ("vpc/b", "vpc/a", "other/VPC"):
        lab.group(name, None, tags={"team": name[0]})
    names = [g["logGroupName"] for g in lab.logs.describe_log_groups()["logGroups"]]
    assert names == ["other/VPC", "vpc/a", "vpc/b"]
    shown = lab.logs.describe_log_groups(logGroupNamePrefix="vpc/a")["logGroups"]
    assert shown == [
        {
            "logGroupName": "vpc/a",
            "arn": f"{ARN}vpc/a:*",
            "logGroupArn": f"{ARN}vpc/a",
            "metricFilterCount": 0,
            "storedBytes": 0,
            "logGroupClass": "STANDARD",
            "deletionProtectionEnabled": False,
            "creationTime": shown[0]["creationTime"],
        }
    ]
    assert len(lab.logs.describe_log_groups(logGroupNamePattern="vpc")["logGroups"]) == 3
    assert (
        lab.logs.describe_log_groups(logGroupIdentifiers=[f"{ARN}vpc/a", "vpc/b"])["logGroups"][1]["logGroupName"]
        == "vpc/b"
    )
    assert code(lab.logs.create_log_group, logGroupName="vpc/a") == "ResourceAlreadyExistsException"
    lab.logs.delete_log_group(logGroupName="vpc/a")
    assert code(lab.logs.delete_log_group, logGroupName="vpc/a") == "ResourceNotFoundException"


def test_pages_survive_deletions_between_them(lab: Lab) -> None:
    for n in range(7):
        lab.group(f"g{n}", None)
    seen = []
    for page in lab.logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 3}):
        for group in page["logGroups"]:
            seen.append(group["logGroupName"])
            lab.logs.delete_log_group(logGroupName=group["logGroupName"])
    assert seen == [f"g{n}" for n in range(7)]
    assert code(lab.logs.describe_log_groups, nextToken="x") == "InvalidParameterException"


@pytest.mark.parametrize(
    ("operation", "params", "expected"),
    [
        ("create_log_group", {"logGroupName": "a b"}, "InvalidParameterException"),
        ("create_log_group", {"logGroupName": "x" * 513}, "InvalidParameterException"),
        ("create_log_group", {"logGroupName": "aws/x"}, "InvalidParameterException"),
        (
            "create_log_group",
            {"logGroupName": "k", "kmsKeyId": "arn:aws:kms:us-east-1:1:key/x"},
            "InvalidParameterException",
        ),
        ("create_log_group", {"logGroupName": "k", "tags": {"aws:x": "y"}}, "InvalidParameterException"),
        ("create_log_stream", {"logGroupName": "none", "logStreamName": "s"}, "ResourceNotFoundException"),
        ("create_log_stream", {"logGroupName": "flows", "logStreamName": "a:b"}, "InvalidParameterException"),
        ("create_log_stream", {"logGroupName": "flows", "logStreamName": "eni"}, "ResourceAlreadyExistsException"),
        ("delete_log_stream", {"logGroupName": "flows", "logStreamName": "none"}, "ResourceNotFoundException"),
        ("describe_log_groups", {"logGroupNamePrefix": "a", "logGroupNamePattern": "b"}, "InvalidParameterException"),
        ("describe_log_groups", {"limit": 51}, "InvalidParameterException"),
        (
            "describe_log_streams",
            {"logGroupName": "flows", "logStreamNamePrefix": "a", "orderBy": "LastEventTime"},
            "InvalidParameterException",
        ),
        ("describe_log_streams", {"logGroupName": "flows", "logGroupIdentifier": "flows"}, "InvalidParameterException"),
        ("describe_log_streams", {}, "InvalidParameterException"),
        ("describe_log_streams", {"logGroupIdentifier": "arn:aws:s3:::x"}, "InvalidParameterException"),
        (
            "describe_log_streams",
            {"logGroupIdentifier": "arn:aws:logs:us-east-1:210987654321:log-group:flows"},
            "ResourceNotFoundException",
        ),
        ("put_retention_policy", {"logGroupName": "flows", "retentionInDays": 2}, "InvalidParameterException"),
        ("put_retention_policy", {"logGroupName": "none", "retentionInDays": 3}, "ResourceNotFoundException"),
        ("list_tags_for_resource", {"resourceArn": f"{ARN}none"}, "ResourceNotFoundException"),
        ("list_tags_for_resource", {"resourceArn": "arn:aws:ec2:::x"}, "InvalidParameterException"),
        (
            "put_subscription_filter",
            {"logGroupName": "flows", "filterName": "f", "filterPattern": "", "destinationArn": "arn:x"},
            "UnsupportedOperation",
        ),
        ("describe_destinations", {}, "UnsupportedOperation"),
        ("describe_export_tasks", {}, "UnsupportedOperation"),
        ("start_query", {"startTime": 0, "endTime": 1, "queryString": "x"}, "UnsupportedOperation"),
        (
            "put_log_events",
            {"logGroupName": "flows", "logStreamName": "none", "logEvents": [{"timestamp": 1, "message": "x"}]},
            "ResourceNotFoundException",
        ),
        (
            "put_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "logEvents": []},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "nextToken": "x"},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "nextToken": f"f/{'9' * 56}/s"},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "limit": 10_001},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "startTime": 5, "endTime": 4},
            "InvalidParameterException",
        ),
        ("filter_log_events", {"logGroupName": "flows", "nextToken": "x"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": "flows", "filterPattern": "a-b"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": "flows", "logStreamNames": ["none"]}, "ResourceNotFoundException"),
        (
            "filter_log_events",
            {"logGroupName": "flows", "logStreamNames": ["eni"], "logStreamNamePrefix": "e"},
            "InvalidParameterException",
        ),
        ("put_resource_policy", {"policyName": "p", "policyDocument": "{"}, "InvalidParameterException"),
        ("delete_resource_policy", {"policyName": "none"}, "ResourceNotFoundException"),
        ("delete_metric_filter", {"logGroupName": "flows", "filterName": "none"}, "ResourceNotFoundException"),
        ("test_metric_filter", {"filterPattern": "[a", "logEventMessages": ["x"]}, "InvalidParameterException"),
        ("describe_metric_filters", {"metricName": "m"}, "InvalidParameterException"),
    ],
)
def test_what_aws_refuses(lab: Lab, operation: str, params: dict[str, Any], expected: str) -> None:
    lab.group()
    before = lab.front.store.world
    assert code(getattr(lab.logs, operation), **params) == expected
    assert lab.front.store.world is before


def test_identifiers_are_not_quoted_back(lab: Lab) -> None:
    """moto's test_arn_formats_log_group_and_stream was run against AWS."""
    with pytest.raises(ClientError) as caught:
        lab.logs.get_log_events(logGroupIdentifier=f"{ARN}flows:*", logStreamName="eni")
    assert caught.value.response["Error"]["Message"] == (
        "1 validation error detected: Value at 'logGroupIdentifier' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [\\w#+=/:,.@-]*"
    )


def test_streams_by_name_and_by_last_event(lab: Lab) -> None:
    lab.group(stream=None)
    for name in ("a", "b", "c"):
        lab.logs.create_log_stream(logGroupName="flows", logStreamName=name)
    now = lab.now
    lab.put((now - 5, "x"), (now - 2, "y"), stream="b")
    lab.put((now - 9, "x"), stream="c")
    lab.put((now - 1, "x"), stream="a")
    shown = lab.logs.describe_log_streams(logGroupName="flows")["logStreams"]
    assert [s["logStreamName"] for s in shown] == ["a", "b", "c"]
    assert (shown[1]["firstEventTimestamp"], shown[1]["lastEventTimestamp"], shown[1]["storedBytes"]) == (
        now - 5,
        now - 2,
        0,
    )
    assert shown[1]["arn"] == f"{ARN}flows:log-stream:b"
    for descending, expected in ((True, ["a", "b", "c"]), (False, ["c", "b", "a"])):
        pages = lab.logs.get_paginator("describe_log_streams").paginate(
            logGroupName="flows", orderBy="LastEventTime", descending=descending, PaginationConfig={"PageSize": 1}
        )
        assert [s["logStreamName"] for page in pages for s in page["logStreams"]] == expected
    assert lab.logs.describe_log_groups()["logGroups"][0]["storedBytes"] == 4 * 27


def test_tags_in_both_generations(lab: Lab) -> None:
    lab.group(tags={"a": "1"})
    lab.logs.tag_resource(resourceArn=f"{ARN}flows", tags={"b": "2"})
    lab.logs.tag_log_group(logGroupName="flows", tags={"c": "3"})
    assert lab.logs.list_tags_for_resource(resourceArn=f"{ARN}flows")["tags"] == {"a": "1", "b": "2", "c": "3"}
    lab.logs.untag_resource(resourceArn=f"{ARN}flows", tagKeys=["a"])
    lab.logs.untag_log_group(logGroupName="flows", tags=["b"])
    assert lab.logs.list_tags_log_group(logGroupName="flows")["tags"] == {"c": "3"}
    assert (
        code(lab.logs.tag_resource, resourceArn=f"{ARN}flows", tags={f"k{n}": "" for n in range(50)})
        == "TooManyTagsException"
    )


def test_deletion_protection(lab: Lab) -> None:
    lab.group(deletionProtectionEnabled=True)
    assert code(lab.logs.delete_log_group, logGroupName="flows") == "ValidationException"
    lab.logs.put_log_group_deletion_protection(logGroupIdentifier=f"{ARN}flows", deletionProtectionEnabled=False)
    lab.logs.delete_log_group(logGroupName="flows")


def test_resource_policies(lab: Lab) -> None:
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "delivery.logs.amazonaws.com"},
                    "Action": "logs:PutLogEvents",
                    "Resource": f"{ARN}*",
                }
            ],
        }
    )
    lab.logs.put_resource_policy(policyName="p", policyDocument=document)
    (shown,) = lab.logs.describe_resource_policies()["resourcePolicies"]
    assert (shown["policyName"], shown["policyDocument"]) == ("p", document)
    for n in range(9):
        lab.logs.put_resource_policy(policyName=f"p{n}", policyDocument=document)
    assert code(lab.logs.put_resource_policy, policyName="p10", policyDocument=document) == "LimitExceededException"
    lab.logs.put_resource_policy(policyName="p", policyDocument=document)
    lab.logs.delete_resource_policy(policyName="p")
    assert len(lab.logs.describe_resource_policies()["resourcePolicies"]) == 9

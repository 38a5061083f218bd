"""Who may do what to log groups and streams, what is recorded of it, and where it runs (MON-06, DATA-03)."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.api.begun import Begun, Lane
from ringfence.api.ops.registry import OPERATIONS
from tests.api.front import ACCOUNT, OTHER_KEY
from tests.api.ops.logs.lab import ARN, Lab, code


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [(f"{ARN}flows:*", True), (f"{ARN}flows", False), (f"{ARN}other:*", False), (f"{ARN}flows:log-stream:eni", True)],
)
def test_putting_events_is_authorised_on_the_stream(lab: Lab, resource: str, allowed: bool) -> None:
    lab.group()
    logs = _as_user(lab, "logs:PutLogEvents", resource)
    batch = [{"timestamp": lab.now, "message": "x"}]
    if allowed:
        logs.put_log_events(logGroupName="flows", logStreamName="eni", logEvents=batch)
    else:
        denied = code(logs.put_log_events, logGroupName="flows", logStreamName="eni", logEvents=batch)
        assert denied == "AccessDeniedException"


def test_groups_and_tags_are_authorised_on_their_own_forms_of_the_arn(lab: Lab) -> None:
    lab.group()
    logs = _as_user(lab, ["logs:FilterLogEvents", "logs:ListTagsForResource"], f"{ARN}flows:*")
    assert logs.filter_log_events(logGroupName="flows")["events"] == []
    assert code(logs.list_tags_for_resource, resourceArn=f"{ARN}flows") == "AccessDeniedException"
    assert code(logs.describe_log_groups) == "AccessDeniedException"
    plain = _as_user(lab, ["logs:ListTagsForResource"], f"{ARN}flows")
    assert plain.list_tags_for_resource(resourceArn=f"{ARN}flows")["tags"] == {}


def _as_user(lab: Lab, actions: Any, resource: str) -> Any:
    iam = lab.front.client("iam")
    name = f"u{lab.front.store.world.generation}"
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resource}]}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lab.front.client("logs", key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def test_messages_are_not_repeated_in_the_audit_trail(lab: Lab) -> None:
    lab.group()
    lab.say("the password is hunter2")
    records = [json.loads(row.record) for row in lab.front.store.audit_records()]
    put = next(record for record in records if record["eventName"] == "PutLogEvents")
    assert put["readOnly"] is False
    assert put["requestParameters"]["logStreamName"] == "eni"
    assert all("hunter2" not in json.dumps(record) for record in records)


@pytest.mark.parametrize("action", ["PutLogEvents", "FilterLogEvents", "GetLogEvents", "DescribeLogStreams"])
def test_what_waits_for_the_event_store_is_off_the_event_loop(lab: Lab, action: str) -> None:
    operation = OPERATIONS["logs", action]
    call: Any = SimpleNamespace(account_id=ACCOUNT, region="us-east-1", service="logs", action=action)
    assert (
        lab.front.pipeline.lane(Begun(call, operation, None, {}, "json", dry_run=False, judged=lab.front.store.world))
        is Lane.READER
    )


def test_regions_and_accounts_do_not_see_each_other(lab: Lab) -> None:
    lab.group()
    assert lab.front.client("logs", region="eu-west-1").describe_log_groups()["logGroups"] == []
    assert lab.front.client("logs", key=OTHER_KEY).describe_log_groups()["logGroups"] == []


# ---------------------------------------------------------------------- resource policies
def _resource_policy(lab: Lab, name: str, *statements: dict[str, Any], version: str = "2012-10-17") -> None:
    document = {
        "Version": version,
        "Statement": [{"Effect": "Allow", "Resource": f"{ARN}*", **one} for one in statements],
    }
    lab.logs.put_resource_policy(policyName=name, policyDocument=json.dumps(document))


def _put(lab: Lab, logs: Any) -> str:
    batch = [{"timestamp": lab.now, "message": "x"}]
    try:
        logs.put_log_events(logGroupName="flows", logStreamName="eni", logEvents=batch)
    except ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return "ok"


def test_a_resource_policy_lets_a_principal_of_the_account_in(lab: Lab) -> None:
    lab.group()
    logs = _as_user(lab, "logs:DescribeLogGroups", "*")
    assert _put(lab, logs) == "AccessDeniedException"
    name = lab.front.audit()[-1]["userIdentity"]["userName"]
    who = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, "Action": "logs:PutLogEvents"}
    _resource_policy(lab, "other", {**who, "Resource": f"{ARN}other:*"})
    assert _put(lab, logs) == "AccessDeniedException"
    _resource_policy(lab, "mine", {**who, "Resource": f"{ARN}flows:*"})
    assert _put(lab, logs) == "ok"
    lab.logs.delete_resource_policy(policyName="mine")
    assert _put(lab, logs) == "AccessDeniedException"


def test_what_a_resource_policy_denies_is_denied(lab: Lab) -> None:
    lab.group()
    logs = _as_user(lab, "logs:*", "*")
    assert _put(lab, logs) == "ok"
    _resource_policy(lab, "deny", {"Effect": "Deny", "Principal": "*", "Action": "logs:PutLogEvents"})
    assert _put(lab, logs) == "AccessDeniedException"
    assert logs.filter_log_events(logGroupName="flows")["events"] != []


def test_a_policy_of_the_older_version_has_no_variables(lab: Lab) -> None:
    """`${aws:username}` in it is that text, also where another policy of the account is of the newer version."""
    lab.group()
    logs = _as_user(lab, "logs:DescribeLogGroups", "*")
    code(logs.describe_log_streams, logGroupName="flows")
    name = lab.front.audit()[-1]["userIdentity"]["userName"]
    who = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, "Action": "logs:PutLogEvents"}
    condition = {"Condition": {"StringEquals": {"aws:username": "${aws:username}"}}}
    _resource_policy(lab, "old", {**who, **condition}, version="2008-10-17")
    _resource_policy(lab, "new", {**who, "Resource": f"{ARN}none:*"})
    assert _put(lab, logs) == "AccessDeniedException"
    _resource_policy(lab, "old", {**who, **condition})
    assert _put(lab, logs) == "ok"

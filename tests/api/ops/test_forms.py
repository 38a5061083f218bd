"""What is written from a form is what the view shows; quick ways to compute give what the slow ones give."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.api import audit
from ringfence.api.ops.context import Call, Filled
from ringfence.api.ops.ec2 import security_group_rules
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.model.codec import encode, encoder
from ringfence.model.errors import fault
from ringfence.model.ids import SeededIds
from ringfence.model.net import network_text, overlap
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule

BLOCKS = st.builds(
    lambda ip, prefix: IPv4Network((ip, prefix), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
)


def rule(**given: Any) -> SecurityGroupRule:
    held: dict[str, Any] = {"id": "sgr-1", "egress": False, "protocol": 6, "from_port": 1, "to_port": 2,
                            "cidr": IPv4Network("10.0.0.0/8")}  # fmt: skip
    return SecurityGroupRule(**held | given)


GROUP = SecurityGroup(id="sg-1", owner_id="123456789012", region="us-east-1", vpc_id="vpc-1", name="a", description="b")


@pytest.mark.parametrize(
    ("given_", "form"),
    [
        ({}, True),
        ({"egress": True, "protocol": -1, "from_port": -1, "to_port": -1}, True),
        ({"protocol": 47}, True),
        ({"cidr": IPv6Network("::/0")}, False),
        ({"description": "<&>"}, False),
        ({"tags": (("k", "v"),)}, False),
    ],
)
def test_a_rule_from_a_form(given_: dict[str, Any], form: bool) -> None:
    shown = security_group_rules._shown(GROUP, rule(**given_))
    assert isinstance(shown, Filled) is form
    plain = security_group_rules._view(GROUP, rule(**given_))
    assert list((shown.fill() if isinstance(shown, Filled) else shown).items()) == list(plain.items())


@given(BLOCKS, BLOCKS)
def test_overlap(one: IPv4Network, other: IPv4Network) -> None:
    assert overlap(one, other) is one.overlaps(other)


@given(BLOCKS)
def test_network_text(block: IPv4Network) -> None:
    assert network_text(block) == str(block) == network_text(block)


@given(st.text(), st.integers(), st.booleans(), st.none() | BLOCKS)
def test_the_stored_text_of_a_rule(text: str, port: int, egress: bool, cidr: IPv4Network | None) -> None:
    held = rule(description=text, from_port=port, egress=egress, cidr=cidr)
    group = SecurityGroup(
        id="sg-1",
        owner_id="1",
        region="r",
        vpc_id="v",
        name=text,
        description=text,
        rules=(held,),
        tags=((text, text),),
    )
    assert json.loads(encode(group)) == encoder(SecurityGroup)(group)


@given(st.text(), st.text(), st.booleans())
def test_the_audit_record_is_json_whatever_the_client_says_of_itself(agent: str, name: str, read_only: bool) -> None:
    principal = Principal(account_id="123456789012", arn="arn:x", user_id="AIDA", kind=PrincipalKind.USER, name=name)
    call = Call(
        service="ec2", action="CreateTags", region="us-east-1", principal=principal, request_id="r", user_agent=agent,
        now=datetime(2026, 1, 2, tzinfo=UTC), ids=SeededIds(),
    )  # fmt: skip
    shown = [security_group_rules._shown(GROUP, rule(from_port=port)) for port in (1, 2)]
    made = audit.record(
        call,
        {"Tag": [agent]},
        read_only=read_only,
        error=fault("InternalError"),
        reply={"Return": True, "Rules": shown},
    )
    event = json.loads(made)
    assert (event["userAgent"], event["userIdentity"]["userName"], event["readOnly"]) == (agent, name, read_only)
    assert event["requestParameters"] == {"Tag": [agent]}
    assert event["errorCode"] == "Server.InternalError"
    plain = [security_group_rules._view(GROUP, rule(from_port=port)) for port in (1, 2)]
    assert event["responseElements"] == {"Return": True, "Rules": plain}
    assert event["recipientAccountId"] == event["userIdentity"]["accountId"] == "123456789012"

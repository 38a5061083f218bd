"""Sensitive things in names, tags and descriptions are found, chance hits are not, and no finding repeats the text (DATA-06)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.insight.hygiene import free_text
from ringfence.insight.hygiene.free_text import Finding, in_row, in_world, is_card, sorts_in
from ringfence.model.kinds import SECURITY_GROUP
from tests.api.front import ACCOUNT, Front

FOUND: list[tuple[str, str]] = [
    ("4111 1111 1111 1111", "payment card"),
    ("card 4111111111111111.", ""),  # a decimal number, or a version
    ("paid with 5500-0055-5555-5559, thanks", "payment card"),
    ("378282246310005", "payment card"),
    ("6011000990139424", "payment card"),
    ("ask ann.smith+vpc@mail.example.co.uk", "e-mail address"),
    ("AKIAIOSFODNN7EXAMPLE", "access key id"),
    ("key=ASIAQWERTYUIOPASDFGH", "access key id"),
    ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "secret key"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
    ("ghp_" + "a1B2" * 9, "token"),
    ("xoxb-1234567890-abcdef", "token"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", "token"),
    ("postgres://app:hunter2@db.internal/x", "password in a URL"),
]
#: what stands in names and descriptions every day
HARMLESS = [
    "", "web servers", "123456789012", "arn:aws:iam::123456789012:role/app", "10.0.0.0/16", "sg-0123456789abcdef0",
    "4111111111111112", "1234567890123456", "0000000000000000", "4111111111111111111111", "@channel", "user@host", "a" * 40,
    "da39a3ee5e6b4b0d3255bfef95601890afd80709", "https://example.com/a:b@c", "2026-01-31T23:59:59Z", "1-800-555-0100",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "AKIA is how access keys begin",
    "192.168.100.200:65535", "2001:db8:85a3:8d3:1319:8a2e:370:7348",
]  # fmt: skip


@pytest.mark.parametrize(("text", "sort"), FOUND)
def test_what_is_found(text: str, sort: str) -> None:
    assert sort in sorts_in(text) if sort else not sorts_in(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_not(text: str) -> None:
    assert sorts_in(text) == []


@given(st.integers(10**13, 10**14 - 1))
def test_a_changed_digit_makes_no_card(body: int) -> None:
    """Luhn finds every single wrong digit: of the ten last digits, one at most fits."""
    assert sum(is_card(f"4{body}{last}") for last in range(10)) == 1


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert all(sort in {each.name for each in free_text.SORTS} for sort in sorts_in(text))


@given(st.uuids())
def test_ids_are_harmless(id: uuid.UUID) -> None:
    assert not set(sorts_in(f"{id} i-{id.hex[:17]} {id.hex}")) - {
        "payment card"
    }  # a digit run of a card's form may stand in one


def test_the_hint_hides_nothing() -> None:
    """Whatever a pattern of a sort matches has a hint in it."""
    for text, sort in FOUND:
        assert not sort or free_text._HINT.search(text), text


@pytest.fixture
def front() -> Front:
    return Front()


def arn(noun: str, id: str) -> str:
    return f"arn:aws:ec2:us-east-1:{ACCOUNT}:{noun}/{id}"


def test_every_free_text_of_an_installation_is_looked_at(front: Front) -> None:
    ec2, iam = front.client("ec2"), front.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=_tags("vpc", Owner="ann@example.com"))["Vpc"][
        "VpcId"
    ]
    group = ec2.create_security_group(GroupName="web", Description="call AKIAIOSFODNN7EXAMPLE", VpcId=vpc)["GroupId"]
    permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}
    ranges = [{"CidrIp": "10.0.0.0/8", "Description": "a@example.com"}, {"CidrIp": "0.0.0.0/0", "Description": "all"}]
    rules = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**permission, "IpRanges": ranges}])
    rule = next(r["SecurityGroupRuleId"] for r in rules["SecurityGroupRules"] if r["CidrIpv4"] == "10.0.0.0/8")
    iam.create_user(UserName="bob@example.com")
    found = in_world(front.store.world)
    assert Finding(arn("vpc", vpc), "tags/Owner", "e-mail address") in found
    assert Finding(arn("security-group", group), "description", "access key id") in found
    assert Finding(arn("security-group", group), f"rules/{rule}/description", "e-mail address") in found
    assert Finding(f"arn:aws:iam::{ACCOUNT}:user/bob@example.com", "name", "e-mail address") in found
    assert len(found) == 4


def test_a_finding_does_not_repeat_the_text(front: Front) -> None:
    """Not even when the key of a tag is what gives something away."""
    front.client("ec2").create_vpc(
        CidrBlock="10.0.0.0/16", TagSpecifications=_tags("vpc", **{"ann@example.com": "4111111111111111"})
    )
    found = in_world(front.store.world)
    assert {finding.sort for finding in found} == {"e-mail address", "payment card"}
    assert {finding.member for finding in found} == {"tags/1"}
    assert not any(text in repr(found) for text in ("ann@", "4111"))


def test_a_row_by_itself(front: Front) -> None:
    front.client("ec2").describe_vpcs()
    group = front.store.world.all(SECURITY_GROUP)[0]
    assert list(in_row(SECURITY_GROUP, group)) == []
    assert [f.member for f in in_row(SECURITY_GROUP, replace(group, description="x@example.com"))] == ["description"]


def _tags(noun: str, **tags: str) -> list[dict[str, Any]]:
    return [{"ResourceType": noun, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]

"""Remembered fragments of replies: reused by identity of their row, bounded, least recently used out first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.api.ops.context import Filled, Form, Memo
from ringfence.api.ops.ec2.permissions import _PORTED_IPV4
from ringfence.api.wire import model
from ringfence.api.wire.xml import XmlSerializer

OPERATION: Any = model.operation("ec2", "DescribeVpcs")


@dataclass(frozen=True)
class Row:
    """Equal to others of its id, like a stored row."""

    id: str


class Counting:
    """Serialises VPCs given as rows, and counts how often one had to be filled in."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.serializer, self.filled = XmlSerializer(memo_bytes=limit), list[str]()

    def write(self, *rows: Row, tag: str = "t") -> str:
        reply = {"Vpcs": [self._memo(row, tag) for row in rows]}
        return b"".join(self.serializer.result("ec2", OPERATION, reply)).decode()

    def _memo(self, row: Row, tag: str) -> Memo:
        def fill() -> dict[str, str]:
            self.filled.append(row.id)
            return {"VpcId": row.id, "CidrBlock": tag}

        return Memo(row, tag, fill)


def test_a_row_is_written_once() -> None:
    counting, row = Counting(), Row("vpc-1")
    first = counting.write(row)
    assert counting.write(row) == first == "<vpcSet><item><vpcId>vpc-1</vpcId><cidrBlock>t</cidrBlock></item></vpcSet>"
    assert counting.filled == ["vpc-1"]


def test_a_changed_row_is_another_row_however_equal() -> None:
    counting = Counting()
    one, two = Row("vpc-1"), Row("vpc-1")
    counting.write(one, two)
    assert counting.filled == ["vpc-1", "vpc-1"]


def test_another_tag_is_another_fragment() -> None:
    counting, row = Counting(), Row("vpc-1")
    assert counting.write(row, tag="a") != counting.write(row, tag="b")


def test_an_identity_is_not_reused_while_its_text_is_held() -> None:
    """Rows come and go; were they not held, a new row at an old address would get the old row's text."""
    counting = Counting()
    for number in range(2000):
        assert f"vpc-{number}<" in counting.write(Row(f"vpc-{number}"))


@pytest.mark.parametrize("held", [1, 3])
def test_the_memory_is_bounded_and_the_least_used_go_first(held: int) -> None:
    size = len("<item><vpcId>vpc-1</vpcId><cidrBlock>t</cidrBlock></item>")
    counting, rows = Counting(size * held), [Row(f"vpc-{number}") for number in range(held + 1)]
    counting.write(*rows[:held])
    counting.write(rows[0])  # used again: not the next to go, unless it is the only one
    counting.write(rows[held])
    counting.filled.clear()
    counting.write(rows[held], *([rows[0]] if held > 1 else []))
    assert counting.filled == []
    counting.write(rows[1 if held > 1 else 0])
    assert len(counting.filled) == 1


def test_a_member_the_model_does_not_have_is_a_bug_that_shows() -> None:
    with pytest.raises(KeyError, match="Colour"):
        XmlSerializer().result("ec2", OPERATION, {"Vpcs": [{"Colour": "red"}]})
    with pytest.raises(KeyError):
        XmlSerializer().result("ec2", model.operation("ec2", "DeleteVpc"), {"VpcId": "vpc-1"})


def test_none_is_left_out_and_an_empty_list_is_shown() -> None:
    """Clients tell an absent list from an empty one."""
    reply = {"Vpcs": [{"VpcId": "vpc-1", "State": None, "Tags": []}]}
    assert (
        b"".join(XmlSerializer().result("ec2", OPERATION, reply))
        == b"<vpcSet><item><vpcId>vpc-1</vpcId><tagSet></tagSet></item></vpcSet>"
    )


# ---------------------------------------------------------------------- forms
GROUPS: Any = model.operation("ec2", "DescribeSecurityGroups")


def _text(serializer: XmlSerializer, permission: Any) -> bytes:
    return b"".join(serializer.result("ec2", GROUPS, {"SecurityGroups": [{"IpPermissions": [permission]}]}))


@given(st.sampled_from(["tcp", "udp", "icmp"]), st.integers(-1, 65535), st.integers(-1, 65535), st.ip_addresses(v=4))
def test_a_form_is_written_like_the_structure_it_stands_for(name: str, low: int, high: int, address: Any) -> None:
    serializer = XmlSerializer()
    for values in ((name, low, high, f"{address}/32"), ("tcp", 1, 2, "10.0.0.0/8")):
        filled = Filled(_PORTED_IPV4, values)
        assert _text(serializer, filled) == _text(XmlSerializer(), filled.fill())


def test_a_form_may_hold_a_percent_sign_but_must_show_each_value_once_in_order() -> None:
    percent = Form(1, lambda port: {"IpProtocol": "100%s&", "FromPort": port})
    assert _text(XmlSerializer(), Filled(percent, (7,))) == _text(XmlSerializer(), percent.make(7))
    for wrong in (
        Form(2, lambda low, high: {"FromPort": high, "ToPort": low}),
        Form(1, lambda low: {"FromPort": low, "ToPort": low}),
        Form(1, lambda low: {"IpProtocol": "tcp"}),
    ):
        with pytest.raises(ValueError, match="once"):
            _text(XmlSerializer(), Filled(wrong, (1,) * wrong.count))

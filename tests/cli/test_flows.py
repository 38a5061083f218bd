"""Lines of `ringfence flows`, as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.cli.flows import _line

FLOW: dict[str, Any] = {
    "end": 59.0, "interface-id": "eni-1", "flow-direction": "ingress", "srcaddr": "10.0.0.1", "dstaddr": "10.0.0.2",
    "srcport": 40000, "dstport": 22, "protocol": 6, "packets": 2, "bytes": 120, "action": "ACCEPT",
}  # fmt: skip
REFUSED = {"layer": "nacl-in", "component": "acl-1", "rule": "100"}
UNKNOWN = {"layer": "sg-ingress", "component": "sg-1", "rule": None}


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        ({}, "ingress 10.0.0.1:40000 → 10.0.0.2:22 tcp 2 packets 120 bytes ACCEPT"),
        ({"protocol": 17}, "ingress 10.0.0.1:40000 → 10.0.0.2:22 udp 2 packets 120 bytes ACCEPT"),
        (
            {"srcaddr": "2001:db8::1", "dstaddr": "2001:db8::2"},
            "ingress [2001:db8::1]:40000 → [2001:db8::2]:22 tcp 2 packets 120 bytes ACCEPT",
        ),
        (
            {"protocol": 58, "srcport": 0, "dstport": 0, "srcaddr": "2001:db8::1", "dstaddr": "2001:db8::2"},
            "ingress 2001:db8::1 → 2001:db8::2 icmpv6 2 packets 120 bytes ACCEPT",
        ),
        ({"protocol": 47}, "ingress 10.0.0.1 → 10.0.0.2 proto 47 2 packets 120 bytes ACCEPT"),
        (
            {"action": "REJECT", "ringfence-reason": REFUSED},
            "ingress 10.0.0.1:40000 → 10.0.0.2:22 tcp 2 packets 120 bytes REJECT at nacl-in by acl-1 rule 100",
        ),
        (
            {"action": "REJECT", "ringfence-reason": UNKNOWN},
            "ingress 10.0.0.1:40000 → 10.0.0.2:22 tcp 2 packets 120 bytes REJECT at sg-ingress by sg-1",
        ),
    ],
)
def test_lines(flow: dict[str, Any], said: str) -> None:
    assert " ".join(_line({**FLOW, **flow}).split()) == f"1970-01-01T00:00:59Z eni-1 {said}"

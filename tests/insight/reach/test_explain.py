"""What `trace` advises: the commands are the API's, and they let the packet through."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from ringfence.insight.reach.explain import met
from ringfence.insight.reach.trace import trace_request
from ringfence.model.errors import ApiError
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import Index
from ringfence.policy.packet import Layer
from tests.differential import generator
from tests.differential.compare import Run

#: what no advice gets around: there is no room for another rule
LIMITS = ("RulesPerSecurityGroupLimitExceeded", "NetworkAclEntryLimitExceeded")


def _value(text: str) -> Any:
    """The AWS CLI's shorthand: `A=1,B=[{C=x}]`, a word, a number."""
    if text.isdecimal():
        return int(text)
    if "=" not in text:
        return text
    found: dict[str, Any] = {}
    for key, inner, word in re.findall(r"(\w+)=(?:\[\{(.*?)\}\]|([^,]*))", text):
        found[key] = [_value(inner)] if inner else _value(word)
    return found


def parameters(command: str) -> tuple[str, dict[str, Any]]:
    """Operation and parameters of a command line."""
    aws, ec2, name, *words = shlex.split(command)
    assert (aws, ec2) == ("aws", "ec2")
    out: dict[str, Any] = {}
    while words:
        option = words.pop(0).removeprefix("--")
        key = "".join(part.capitalize() for part in option.split("-"))
        if option in ("egress", "ingress", "no-source-dest-check"):
            out |= {"SourceDestCheck": {"Value": False}} if option.startswith("no") else {"Egress": option == "egress"}
            continue
        value = _value(words.pop(0))
        out[key] = [value] if key in ("IpPermissions", "InstanceIds") else value
    for old, new in (("IpProtocol", str), ("Protocol", str)):
        for holder in (out, *out.get("IpPermissions", [])):
            if old in holder:
                holder[old] = new(holder[old])
    return "".join(part.capitalize() for part in name.split("-")), out


def request_of(source: str, packet: Any) -> dict[str, Any]:
    out = {
        "source": source if source != "internet" else f"internet:{packet.src}",
        "destination": str(packet.dst),
        "protocol": str(packet.protocol),
    }
    if packet.protocol in (6, 17):
        out |= {"port": packet.dport, "source_port": packet.sport}
    if packet.protocol in (1, 58):
        out |= {"icmp_type": packet.icmp_type, "icmp_code": packet.icmp_code}
    return out


@pytest.mark.parametrize("seed", range(10))
def test_advice_lets_the_packet_through(seed: int) -> None:
    """Random packets in random VPCs: following the advice, element by element, a packet that is refused arrives; until it
    comes to advice that no command can follow."""
    run = Run(seed)
    followed = arrived = 0
    for _ in range(60):
        source, packet = generator.packet(run.chance, run.site)
        request = request_of(source, packet)
        seen: set[tuple[Any, ...]] = set()
        while True:
            answer = trace_request(run.api.world, request)
            if answer.get("outcome") != "dropped":
                arrived += answer.get("outcome") == "ok" and bool(seen)
                break
            assert answer["reason"]
            assert answer["fix"]
            place = (answer["dropped_at"], answer["component"], answer["fix"][0])
            assert place not in seen, f"the advice did not help: {answer['reason']}: {answer['fix']}"
            seen.add(place)
            command = answer["fix"][0]
            if not command.startswith("aws ec2") or "…" in command:
                break
            try:
                operation, values = parameters(command)
                run.api.call(operation, **values)
            except ApiError as problem:
                if problem.code not in LIMITS:
                    raise
                break
            followed += 1
    assert followed > 5
    assert arrived > 2


def test_what_else_refuses_is_told() -> None:
    """All that is in the way, not the first alone."""
    from tests import builders as b

    world = b.world(
        b.vpc(), b.subnet("a", "10.0.0.0/24"), b.subnet("b", "10.0.1.0/24", acl="n"), b.acl("n"), b.group("g"),
        b.host("x", "10.0.0.10", groups=["g"]), b.host("y", "10.0.1.10", subnet="b", groups=["g"]),
    )  # fmt: skip
    answer = trace_request(world, {"source": b.ident("i", "x"), "destination": b.ident("i", "y"), "port": 80})
    assert answer["dropped_at"] == "sg-egress"
    assert [other["layer"] for other in answer["also_blocking"]] == ["nacl-in", "sg-ingress", "reply-nacl-out"]
    assert all(other["fix"][0].startswith("aws ec2 ") for other in answer["also_blocking"])
    assert "From=1024,To=65535" in answer["also_blocking"][2]["fix"][0], "answers go to ports that no rule can foresee"


def test_gateways_exchange_addresses_on_the_way() -> None:
    """IGW-03..IGW-07: from one public address of a VPC to another, out and in again; the answer goes the same way back."""
    from tests import builders as b

    world = b.world(
        b.vpc(), b.subnet("a", "10.0.0.0/24"), b.gateway(), b.table(b.MAIN, *b.to_gateway()), b.group("g", *b.OPEN),
        b.host("x", "10.0.0.10", groups=["g"], public="198.18.0.10"), b.host("y", "10.0.0.11", groups=["g"], public="198.18.0.11"),
    )  # fmt: skip
    gateway = b.ident("igw", "igw")
    layers = [
        (Layer.SG_EGRESS, "g", False), (Layer.GATEWAY, gateway, False), (Layer.GATEWAY, gateway, False),
        (Layer.SG_INGRESS, "g", False), (Layer.NACL_OUT, "n", True),
    ]  # fmt: skip
    seen = met(Index.of(compile_world(world)), b.packet("10.0.0.10", "198.18.0.11"), True, layers)
    assert [(str(p.src), str(p.dst)) for p in seen] == [
        ("10.0.0.10", "198.18.0.11"), ("10.0.0.10", "198.18.0.11"), ("198.18.0.10", "198.18.0.11"),
        ("198.18.0.10", "10.0.0.11"), ("10.0.0.11", "198.18.0.10"),
    ]  # fmt: skip

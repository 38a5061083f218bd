"""A packet and a verdict: the words the specification, the evaluator, the analyser and the tests share."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringfence.model.net import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """Header fields that policy can see. Ports for TCP and UDP only; type and code for ICMP and ICMPv6 only.

    `icmp_id` tells one ping from another. `cause`: the packet that an ICMP error quotes (CT-12).
    """

    src: Address
    dst: Address
    protocol: int
    sport: int = 0
    dport: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    icmp_id: int = 0
    cause: Packet | None = None

    @property
    def family(self) -> int:
        return self.src.version

    def reply(self) -> Packet:
        """The answer to this packet: addresses and ports exchanged; an ICMP query becomes its answer."""
        return Packet(
            src=self.dst,
            dst=self.src,
            protocol=self.protocol,
            sport=self.dport,
            dport=self.sport,
            icmp_type=ICMP_ANSWERS.get(self.icmp_type, self.icmp_type),
            icmp_code=self.icmp_code,
            icmp_id=self.icmp_id,
        )


#: ICMP and ICMPv6 queries and their answers: echo, timestamp, information, address mask; echo (RFC 792, 950, 4443)
ICMP_ANSWERS: dict[int, int] = {8: 0, 13: 14, 15: 16, 17: 18, 128: 129}


class Layer(enum.StrEnum):
    """Where a packet can be refused, in the order the layers are asked; a reply's layers carry the prefix `reply-`."""

    SOURCE_CHECK = "source-check"
    SG_EGRESS = "sg-egress"
    NACL_OUT = "nacl-out"
    NO_ROUTE = "no-route"
    NACL_IN = "nacl-in"
    SG_INGRESS = "sg-ingress"
    DEST_CHECK = "dest-check"
    ENDPOINT = "endpoint"  # gateway endpoint: not for its service, or not from an interface of the VPC (VPE-04, VPE-06)
    GATEWAY = "gateway"  # internet gateway: no public address, RFC 1918/6598 on the far side, spoofed (IGW-03..08)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRef:
    """The rule that decided: `component` is a group, ACL, route table, ENI or gateway id; `rule` a rule id, ACL entry
    number (`*` for the final deny) or route destination."""

    component: str
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One layer's decision about one packet. `reply` tells the direction of the conversation."""

    layer: Layer
    allowed: bool
    by: RuleRef
    interface: str | None = None
    reply: bool = False
    tracked: bool | None = None  # security groups only: admitted by state, or entered into the connection table


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer for one packet or one conversation. `dropped_at`: None when everything passed."""

    allowed: bool
    hops: tuple[Hop, ...]

    @property
    def dropped_at(self) -> str | None:
        last = next((hop for hop in self.hops if not hop.allowed), None)
        return None if last is None else ("reply-" if last.reply else "") + last.layer.value

    @property
    def by(self) -> RuleRef | None:
        last = next((hop for hop in self.hops if not hop.allowed), None)
        return last.by if last else None

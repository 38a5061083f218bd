"""Connection tables, one per interface, as values (CT-01..CT-24; docs/architecture.md, "How a packet is judged").

An entry is made by the first packet admitted of a flow and remembers which way that packet went, and a mark:
0 untracked, 1 tracked and begun by the interface, 2 tracked and begun towards it. Time is seconds on any clock, passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from immutables import Map

from ringfence.model.net import ICMP_FAMILY, PORTED, Address, Protocol
from ringfence.policy.ir import Timeouts
from ringfence.policy.packet import ICMP_ANSWERS, Packet

#: idle seconds of ICMP flows, and of protocols other than TCP, UDP and ICMP (CT-09)
ICMP_TIMEOUT, OTHER_TIMEOUT = 30, 600
_QUERIES = {answer: query for query, answer in ICMP_ANSWERS.items()}
_ERRORS = {(Protocol.ICMP, kind) for kind in (3, 4, 5, 11, 12)} | {(Protocol.ICMPV6, kind) for kind in range(1, 5)}

#: source, destination, protocol, and ports or ICMP type, code and identifier, of the direction that opened the flow
Tuple = tuple[Address, Address, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """One entry. `opening`: packets seen of the opening direction; `replied`: one came back; `until`: when it ends."""

    mark: int
    opening: int
    replied: bool
    until: float


@dataclass(frozen=True, slots=True)
class Found:
    """The entry a packet belongs to. `mark` None: there is none. `opening`: the packet goes the opening direction."""

    mark: int | None
    opening: bool


@dataclass(frozen=True, slots=True)
class Flows:
    """The connection tables of all interfaces: (ENI, tuple) → entry. Values never change; `admit` gives new ones."""

    entries: Map[tuple[str, Tuple], Flow] = field(default_factory=Map)

    def find(self, eni_id: str, packet: Packet, now: float) -> Found:
        """The entry of the packet's flow in an interface's table."""
        for key, opening in ((opens(packet), True), (answers(packet), False)):
            flow = self.entries.get((eni_id, key)) if key is not None else None
            if flow is not None and flow.until > now:
                return Found(flow.mark, opening)
        return Found(None, True)

    def related(self, eni_id: str, packet: Packet, now: float) -> bool:
        """Is the packet an ICMP error about a tracked flow (CT-12)? Errors about untracked flows are judged by rules."""
        if packet.cause is None or (packet.protocol, packet.icmp_type) not in _ERRORS:
            return False
        return bool(self.find(eni_id, packet.cause, now).mark)

    def admit(self, eni_id: str, packet: Packet, mark: int | None, timeouts: Timeouts, now: float) -> Flows:
        """The tables after a packet was admitted. `mark` None leaves that of the entry as it is."""
        found = self.find(eni_id, packet, now)
        key = opens(packet) if found.opening else answers(packet)
        if key is None or (found.mark is None and mark is None):
            return self
        old = self.entries[eni_id, key] if found.mark is not None else Flow(0, 0, False, now)
        opening, replied = old.opening + found.opening, old.replied or not found.opening
        until = now + _idle(packet.protocol, timeouts, stream=replied and opening > 1)
        flow = Flow(old.mark if mark is None else mark, opening, replied, until)
        return Flows(self.entries.set((eni_id, key), flow))


def _idle(protocol: int, timeouts: Timeouts, *, stream: bool) -> float:
    """How long an entry lives without packets (CT-09, CT-13..CT-15)."""
    if protocol == Protocol.TCP:
        return timeouts.tcp_established
    if protocol == Protocol.UDP:
        return timeouts.udp_stream if stream else timeouts.udp
    return ICMP_TIMEOUT if protocol in ICMP_FAMILY else OTHER_TIMEOUT


def opens(packet: Packet) -> Tuple | None:
    """The tuple a packet opens; None for ICMP that asks nothing: answers and errors open no flow."""
    if packet.protocol in PORTED:
        return (packet.src, packet.dst, packet.protocol, packet.sport, packet.dport, 0)
    if packet.protocol not in ICMP_FAMILY:
        return (packet.src, packet.dst, packet.protocol, 0, 0, 0)
    if packet.icmp_type not in ICMP_ANSWERS:
        return None
    return (packet.src, packet.dst, packet.protocol, packet.icmp_type, packet.icmp_code, packet.icmp_id)


def answers(packet: Packet) -> Tuple | None:
    """The tuple whose answer a packet would be; None for ICMP that answers nothing."""
    if packet.protocol in PORTED:
        return (packet.dst, packet.src, packet.protocol, packet.dport, packet.sport, 0)
    if packet.protocol not in ICMP_FAMILY:
        return (packet.dst, packet.src, packet.protocol, 0, 0, 0)
    query = _QUERIES.get(packet.icmp_type)
    if query is None:
        return None
    return (packet.dst, packet.src, packet.protocol, query, packet.icmp_code, packet.icmp_id)

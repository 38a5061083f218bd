"""The proof of what stands around a VPC: its internet gateway's namespace, and the one that plays the internet.

The gateway exchanges addresses one to one and keeps no state, so a packet's way through it is four gates, each for all packets:
what is let in and with which address exchanged (destinations, before the route), where the route leads it, from which link to
which it may go, and which source it leaves with. That an address is exchanged *by a map* is proven of the rules; that the map
gives what the model says, of its elements, each of them. An error quotes the packet it is about: there the exchange must be
possible for every error and for nothing else.

Imports nothing of `nftables/`. Spec: IGW-03 to IGW-11; docs/adr/0003-edge-nat.md. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, ip_network

from ringfence.dataplane.plan import EDGE_INTERNET, EDGE_VPC, suffix
from ringfence.dataplane.topology import GATEWAY_LINK, INTERNET_LINK, host_ns
from ringfence.dataplane.verify import model as m
from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.findings import Drift
from ringfence.dataplane.verify.outcomes import POSSIBLE, WORD, Exchange, Gate, Outcomes
from ringfence.dataplane.verify.proofs import Proof, accepted_of, inventory, led_as_asked
from ringfence.dataplane.verify.roads import ITSELF, Roads
from ringfence.dataplane.verify.snapshot import Snapshot, TableContent
from ringfence.dataplane.verify.symbolic import Machine
from ringfence.model import endpoints
from ringfence.model.net import IPV6_POOL, UNROUTABLE, Address, Network
from ringfence.policy.ir import Edge, Vpc

INET = (1, "ringfence")
_EDGE_HOOKS = {
    INET: {"arrive": (0, -300), "forward": (2, 0), "leave": (4, 100), "input": (1, 0), "output": (3, 0)},
}
_INTERNET_HOOKS = {INET: {"spoof": (0, -310)}}
_STRANGER = "z65534"
_FOUR, _SIX = (p.box({p.FAMILY: p.family(version)}) for version in (4, 6))
#: the checksums that an exchange must correct: of the IP header and, by the pseudo header, of TCP and UDP; of the quoted header
_INWARD = Exchange((1, 16, 4), (1, 10, 1), "private", p.DESTINATION)
_OUTWARD = Exchange((1, 12, 4), (1, 10, 1), "public", p.SOURCE)
_QUOTED_INWARD = Exchange((2, 20, 4), (1, 18, 0), "private", None)
_QUOTED_OUTWARD = Exchange((2, 24, 4), (1, 18, 0), "public", None)
#: ICMP types that quote the packet they are about (RFC 792)
_ERRORS = p.boxes([
    {p.FAMILY: p.family(4), p.PROTOCOL: (m.ICMP, m.ICMP), p.WORD: (first << 8, (last << 8) + 255)}
    for first, last in ((3, 3), (11, 12))
])  # fmt: skip


def _unroutable(field: int) -> int:
    """What has no place on the internet (IGW-08)."""
    return p.without(m.of_blocks(field, UNROUTABLE), m.of_blocks(field, [IPV6_POOL]))


def prove_edge(edge: Edge, vpc: Vpc, found: Snapshot) -> Proof:
    """One gateway."""
    proof = Proof(edge.gateway_id)
    inventory(proof, found, _EDGE_HOOKS)
    content = found.tables.get(INET)
    if content is None:
        proof.note(Drift.ADMITS, "table", edge.gateway_id, "inet", "there is none: everything passes")
        return proof
    _Gateway(proof, edge, vpc, content, found).prove()
    return proof


class _Gateway:
    """One gateway's proof under way."""

    def __init__(self, proof: Proof, edge: Edge, vpc: Vpc, content: TableContent, found: Snapshot) -> None:
        self.proof, self.edge, self.content = proof, edge, content
        self.machine, self.roads = Machine(content), Roads(found.paths)
        self.nat = dict(edge.nat)
        self.inner: tuple[Network, ...] = (*vpc.ipv4, *edge.ipv6)

    def prove(self) -> None:
        self._maps()
        self._arrive(EDGE_VPC, self._from_vpc())
        self._arrive(EDGE_INTERNET, self._from_internet())
        self._arrive(_STRANGER, {None: p.NONE})
        self._routes()
        self._forward()
        self._leave()
        self._itself()

    # ------------------------------------------------------------------ the model
    def _from_vpc(self) -> dict[Exchange | None, int]:
        """What the VPC may send, by what is exchanged: the destination, where it is a public address of the VPC itself."""
        goes = p.without(p.ALL, p.either(_unroutable(p.DESTINATION), m.of_blocks(p.DESTINATION, self.inner)))
        own = m.of_blocks(p.SOURCE, self.edge.ipv6)
        back = m.of_addresses(p.DESTINATION, self.nat)
        passes = p.either(p.both(goes, _FOUR), p.both(p.both(goes, own), _SIX))
        return {
            _INWARD: p.without(p.both(passes, back), m.DISCOVERY),
            None: p.either(p.without(passes, back), m.DISCOVERY),
        }

    def _from_internet(self) -> dict[Exchange | None, int]:
        """What may come from outside: not as if from the VPC, and only to what it has there."""
        comes = p.without(p.ALL, p.either(_unroutable(p.SOURCE), m.of_blocks(p.SOURCE, self.inner)))
        comes = p.without(comes, m.of_addresses(p.SOURCE, self.nat))
        six = p.both(comes, m.of_blocks(p.DESTINATION, self.edge.ipv6))
        return {_INWARD: p.both(comes, m.of_addresses(p.DESTINATION, self.nat)), None: p.either(six, m.DISCOVERY)}

    # ------------------------------------------------------------------ gates
    def _arrive(self, iif: str, asked: Mapping[Exchange | None, int]) -> None:
        """Let in, with which destination."""
        name = f"arrive by {iif}"
        self._exchanges(self.machine.base("arrive", Gate(iif=iif)), asked, _QUOTED_INWARD, name)

    def _leave(self) -> None:
        """With which source: who has no public address has no internet (IGW-05)."""
        known = m.of_addresses(p.SOURCE, self.nat.values())
        for oif in (EDGE_INTERNET, EDGE_VPC):
            asked = {_OUTWARD: known, None: p.both(_SIX, POSSIBLE)}
            outcomes = self.machine.base("leave", Gate(iif=EDGE_VPC, oif=oif))
            self._exchanges(outcomes, asked, _QUOTED_OUTWARD, f"leave from {EDGE_VPC} to {oif}")
        for iif in (EDGE_INTERNET, ""):
            outcomes = self.machine.base("leave", Gate(iif=iif, oif=EDGE_VPC))
            self._exchanges(outcomes, {None: p.ALL}, None, f"leave from {iif or 'itself'}")

    def _exchanges(
        self, outcomes: Outcomes, asked: Mapping[Exchange | None, int], quoted: Exchange | None, name: str
    ) -> None:
        """Accepted with just these exchanges, each for just these packets; in errors, what they quote as well."""
        got: dict[object, int] = {}
        in_errors = p.NONE
        for effects, some in accepted_of(self.proof, outcomes, "gateway", self.edge.gateway_id, name):
            done = list(effects.rewritten)
            if quoted is not None and quoted in done:
                in_errors = p.either(in_errors, some)
                done.remove(quoted)
            plain = effects.mark == (WORD, 0) and effects.zone is None and not effects.untracked
            label: object = (done[0] if done else None) if len(done) < 2 and plain else effects
            got[label] = p.either(got.get(label, p.NONE), some)
        for label in dict.fromkeys((*got, *asked)):
            what = "translation" if isinstance(label, Exchange) else "gateway"
            wanted = asked.get(label, p.NONE) if label is None or isinstance(label, Exchange) else p.NONE
            self.proof.equal(got.get(label, p.NONE), wanted, what, self.edge.gateway_id, name)
        if quoted is not None:
            every = p.without(p.both(p.union(asked.values()), _ERRORS), m.DISCOVERY)
            self.proof.equal(in_errors, every, "translation of what errors quote", self.edge.gateway_id, name)

    def _maps(self) -> None:
        """The maps give what the model says, for every address."""
        self._map("private", self.nat)
        self._map("public", {private: public for public, private in self.nat.items()})

    def _map(self, name: str, asked: Mapping[IPv4Address, IPv4Address]) -> None:
        note, component = self.proof.note, self.edge.gateway_id
        held = self.content.sets.get(name)
        if held is None or held.dynamic:
            note(Drift.UNKNOWN, "translation", component, name, "there is no such map, or packets fill it")
            return
        self.proof.gates += 1
        got: dict[IPv4Address, IPv4Address] = {}
        for entry in held.entries:
            if entry.strange or entry.end or len(entry.key) != 4 or len(entry.value) != 8:
                note(Drift.UNKNOWN, "translation", component, name, "an element that is not plain")
                continue
            got[IPv4Address(entry.key)] = IPv4Address(entry.value[4:8])
        for address in dict.fromkeys((*got, *asked)):
            has, wants = got.get(address), asked.get(address)
            if has != wants:
                drift = Drift.REFUSES if has is None else Drift.ADMITS
                note(drift, "translation", component, name, f"{address} becomes {has}, not {wants}")

    def _routes(self) -> None:
        """To the VPC what is its own, to the internet everything else that may be there."""
        inner = m.of_blocks(p.DESTINATION, self.inner)
        ends = m.of_blocks(
            p.DESTINATION, [ip_network(f"{each[1]}/30", strict=False) for each in (GATEWAY_LINK, INTERNET_LINK)]
        )
        within = p.without(p.both(POSSIBLE, p.either(inner, p.without(p.ALL, _unroutable(p.DESTINATION)))), ends)
        led = self.roads(0)
        asked = {EDGE_VPC: inner, EDGE_INTERNET: p.without(p.ALL, inner)}
        led_as_asked(self.proof, led, asked, within, self.edge.gateway_id)

    def _forward(self) -> None:
        """From one link to the other; back to the VPC only what its own public addresses brought (IPv4)."""
        ways = {(EDGE_VPC, EDGE_INTERNET): p.ALL, (EDGE_INTERNET, EDGE_VPC): p.ALL, (EDGE_VPC, EDGE_VPC): _FOUR}
        links = (EDGE_VPC, EDGE_INTERNET, _STRANGER)
        for iif in links:
            for oif in links:
                outcomes = self.machine.base("forward", Gate(iif=iif, oif=oif))
                asked: dict[Exchange | None, int] = {None: ways.get((iif, oif), p.NONE)}
                self._exchanges(outcomes, asked, None, f"forward from {iif} to {oif}")

    def _itself(self) -> None:
        """What the gateway takes for itself and what it says: its neighbours' questions, and that a packet is too big."""
        for iif in (EDGE_VPC, EDGE_INTERNET, _STRANGER):
            self._exchanges(self.machine.base("input", Gate(iif=iif)), {None: m.DISCOVERY}, None, f"input by {iif}")
        too_big = p.union((
            p.box({p.PROTOCOL: (m.ICMP, m.ICMP), p.WORD: (3 << 8 | 4,) * 2}),
            p.box({p.PROTOCOL: (m.ICMPV6, m.ICMPV6), p.WORD: (2 << 8,) * 2}),
        ))  # fmt: skip
        outcomes = self.machine.base("output", Gate(oif=EDGE_VPC))
        self._exchanges(outcomes, {None: p.either(m.DISCOVERY, too_big)}, None, "output")


# ---------------------------------------------------------------------- the internet
def prove_internet(edges: Iterable[Edge], hosts: Iterable[Address], found: Snapshot) -> Proof:
    """The namespace between gateways and outside hosts: each host speaks only for its own address (IGW-08), and what is sent to
    an address arrives where the model has it."""
    proof, component = Proof("internet"), "internet"
    inventory(proof, found, _INTERNET_HOOKS)
    content = found.tables.get(INET)
    if content is None:
        proof.note(Drift.ADMITS, "table", component, "inet", "there is none: outside hosts may have any address")
        return proof
    edges, links = tuple(edges), {"h" + host_ns(each).removeprefix("host-"): each for each in hosts}
    back = Roads(found.paths, p.SOURCE)(0)
    machine = Machine(content, back=lambda name: back.get(name, p.NONE))
    # a link-local source is looked for on the link itself, and what is routed nowhere is sent by nobody
    sent = p.without(POSSIBLE, p.either(m.NOT_ROUTED, m.of_blocks(p.SOURCE, m.UNROUTED)))
    for name, address in links.items():
        accepted = accepted_of(proof, machine.base("spoof", Gate(iif=name)), "source check", component, name)
        asked = p.either(m.of_addresses(p.SOURCE, [address]), m.DISCOVERY)
        proof.equal(p.union(some for _, some in accepted), asked, "source check", component, name, within=sent)
    gates = {f"x{suffix(each.gateway_id)}": each for each in edges}
    for name in gates:
        accepted = accepted_of(proof, machine.base("spoof", Gate(iif=name)), "source check", component, name)
        proof.equal(p.union(some for _, some in accepted), p.ALL, "source check", component, name)
    led_as_asked(proof, Roads(found.paths)(0), *_internet_roads(gates, links), component)
    return proof


def _internet_roads(gates: Mapping[str, Edge], hosts: Mapping[str, Address]) -> tuple[dict[str, int], int]:
    """(link → packets, the packets that this says something about)."""
    asked = {name: m.of_addresses(p.DESTINATION, [each]) for name, each in hosts.items()}
    taken = p.union(asked.values())
    for name, edge in gates.items():
        public = m.of_addresses(p.DESTINATION, (outside for outside, _ in edge.nat))
        asked[name] = p.either(public, m.of_blocks(p.DESTINATION, edge.ipv6))
    asked[ITSELF] = m.of_addresses(p.DESTINATION, (*endpoints.SERVED_AT, IPv4Address(INTERNET_LINK[0])))
    # an outside host made before a gateway was given its address: whose it is nobody says
    twice = p.both(taken, p.union(asked[name] for name in gates))
    return asked, p.without(POSSIBLE, p.either(m.NOT_ROUTED, twice))

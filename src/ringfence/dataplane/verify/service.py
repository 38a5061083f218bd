"""The proof of a gateway endpoint's namespace: who is heard there, for what, and who is answered.

A packet is heard if the rules let it in, its source is one that the kernel believes, and its destination is the service's. What the rules
let in is proven of them alone: IPv4, TCP port 443 and echo requests. Whom the kernel believes follows from the routes, as its strict
source check makes a route back by the link a condition (RFC 3704; ip-sysctl, rp_filter): the interfaces of the VPC. What is said, and
where it leads, likewise. Nothing is forwarded.

Imports nothing of `nftables/`. Spec: VPE-01, VPE-04, VPE-06; docs/adr/0015-gateway-endpoints.md. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.dataplane.plan import SERVICE
from ringfence.dataplane.verify import model as m
from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.findings import Drift
from ringfence.dataplane.verify.outcomes import POSSIBLE, UNCHANGED, Gate, Outcomes
from ringfence.dataplane.verify.proofs import Proof, accepted_of, inventory, led_as_asked
from ringfence.dataplane.verify.roads import ITSELF, UNCLEAR, Roads
from ringfence.dataplane.verify.snapshot import Snapshot, TableContent
from ringfence.dataplane.verify.symbolic import Machine
from ringfence.policy.ir import Endpoint, Interface

INET = (1, "ringfence")
_HOOKS = {INET: {"input": (1, 0), "forward": (2, 0), "output": (3, 0)}}
_OTHER = "z65534"  # a link that nobody made
_STRICT = ("net/ipv4/conf/all/rp_filter", "1")
_HTTPS, _ECHO, _ECHO_REPLY = 443, 8, 0
#: what is asked (VPE-06) and what is answered; ports and ICMP types
_ASKED, _ANSWERED = (
    p.union((
        p.box({p.FAMILY: p.family(4), p.PROTOCOL: (m.TCP, m.TCP), port: (_HTTPS, _HTTPS)}),
        p.box({p.FAMILY: p.family(4), p.PROTOCOL: (m.ICMP, m.ICMP), p.WORD: (kind << 8, (kind << 8) + 255)}),
    ))
    for port, kind in ((p.PORT, _ECHO), (p.WORD, _ECHO_REPLY))
)  # fmt: skip


def prove_endpoint(endpoint: Endpoint, interfaces: Iterable[Interface], found: Snapshot) -> Proof:
    """One endpoint; `interfaces`: its VPC's."""
    proof = Proof(endpoint.endpoint_id)
    inventory(proof, found, _HOOKS)
    content = found.tables.get(INET)
    if content is None:
        proof.note(Drift.ADMITS, "table", proof.place, "inet", "there is none: everything passes")
        return proof
    _Endpoint(proof, endpoint, interfaces, content, found).prove()
    return proof


class _Endpoint:
    """One endpoint's proof under way."""

    def __init__(
        self, proof: Proof, endpoint: Endpoint, interfaces: Iterable[Interface], content: TableContent, found: Snapshot
    ) -> None:
        self.proof, self.found, self.machine = proof, found, Machine(content)
        self.vpc = [address for each in interfaces for address in each.ipv4]
        self.service = m.of_blocks(p.DESTINATION, endpoint.blocks)

    def prove(self) -> None:
        for name in sorted(self.found.paths.links.keys() - {"lo", SERVICE}):
            self.proof.note(Drift.ADMITS, "link", self.proof.place, name, "a way that nobody asked for")
        led = {ITSELF: self.service, SERVICE: m.of_addresses(p.DESTINATION, self.vpc)}
        led_as_asked(self.proof, Roads(self.found.paths)(0), led, p.without(POSSIBLE, m.NOT_ROUTED), self.proof.place)
        sent = p.without(POSSIBLE, m.of_blocks(p.SOURCE, m.UNROUTED))  # by nobody, or on the link itself
        self._equal(self._believed(), m.of_addresses(p.SOURCE, self.vpc), "source check", sent)
        self._equal(self._accepted("input", Gate(iif=SERVICE)), _ASKED, "input")
        self._equal(self._accepted("output", Gate(oif=SERVICE)), _ANSWERED, "output")
        for iif in (SERVICE, "lo", _OTHER):
            for oif in (SERVICE, "lo", _OTHER):
                self._equal(self._accepted("forward", Gate(iif, oif)), p.NONE, f"forward from {iif} to {oif}")

    def _believed(self) -> int:
        """Packets whose source the kernel believes: by its routes if the check is strict, else anybody's."""
        name, strict = _STRICT
        if self.found.settings.get(name) != strict:
            return p.ALL
        back = Roads(self.found.paths, p.SOURCE)(0)
        return p.either(back.get(SERVICE, p.NONE), back.get(UNCLEAR, p.NONE))

    def _accepted(self, chain: str, gate: Gate) -> int:
        """As it came: whatever is changed on the way goes another."""
        outcomes: Outcomes = self.machine.base(chain, gate)
        some = p.NONE
        for effects, packets in accepted_of(self.proof, outcomes, "endpoint", self.proof.place, chain):
            if effects != UNCHANGED:
                self.proof.none(packets, "endpoint", self.proof.place, chain, "it is changed on the way")
            some = p.either(some, packets)
        return some

    def _equal(self, got: int, asked: int, name: str, within: int = POSSIBLE) -> None:
        self.proof.equal(got, asked, "endpoint", self.proof.place, name, within=within)

# ruff: noqa: E501  a line of source is quoted as it stands
"""Faults, one at a time, in what writes the rules and in what verifies them: (module, what it says, what it says with the fault).

A module is loaded with the fault in a process of its own, and with it everything that stands on it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType

RENDER, BASE = "nftables.render", "nftables.base"
SYMBOLIC, REGISTERS, OUTCOMES, PROVE, PROOFS, MODEL, ROADS, PACKETS, GATEWAY, SERVICE, PROVER = (
    f"verify.{name}"
    for name in (
        "symbolic", "registers", "outcomes", "prove", "proofs", "model", "roads", "packets", "gateway", "service", "prover",
    )
)  # fmt: skip
AGAIN = (
    "ringfence.dataplane.",
    "tests.dataplane.verify.battery",
    "tests.dataplane.verify.gateways",
    "tests.dataplane.verify.joined",
    "tests.dataplane.verify.services",
    "tests.dataplane.verify.simulated",
)


@dataclass(frozen=True)
class Fault:
    module: str
    right: str
    wrong: str

    @property
    def id(self) -> str:
        return f"{self.module}: {self.wrong.strip()[:70]}"


#: in the compiler and the topology: the proof of a healthy world must say something
COMPILER = (
    Fault(RENDER, "(low, low | 255) if code is None else (low | code, low | code)", "(low, low | 255)"),
    Fault(RENDER, "rules.append((Bits(META_MARK, OWN_SOURCE, some=False), RETURN))", "pass"),
    Fault(RENDER, "return FULL if match.ports is None else (match.ports.first, match.ports.last)", "return FULL"),
    Fault(RENDER, "out.own(Chain(f\"{side}.{acl.acl_id}\", (*rules, (deny,))))", "out.own(Chain(f\"{side}.{acl.acl_id}\", tuple(rules)))"),
    Fault(RENDER, "return (*terms, allow if entry.allow else deny)", "return (*terms, allow)"),
    Fault(RENDER, "relevant = [entry for entry in entries if family", "relevant = [entry for entry in reversed(entries) if family"),
    Fault(RENDER, "return Element(low, high, allow if piece.allow else deny)", "return Element(low, high, allow)"),
    Fault(RENDER, "if not interface.source_dest_check:", "if True:"),
    Fault(RENDER, "near = PASS_ONE | own | SAME_SUBNET | PLAIN_TABLE", "near = PASS_ONE | own | PLAIN_TABLE"),
    Fault(RENDER, "rules += [(Within(DADDR[block.version], block), *stays)", "rules += [(Within(SADDR[block.version], block), *stays)"),
    Fault(RENDER, "mark = PASS_ONE | own | around.table_number", "mark = PASS_ONE | own | 1"),
    Fault(RENDER, "    return not any(\n        route.via is not Via.LOCAL", "    return not all(\n        route.via is not Via.LOCAL"),
    Fault(RENDER, "openings = [group.opens_egress if side == IN else group.opens_ingress", "openings = [group.opens_ingress if side == IN else group.opens_egress"),
    Fault(RENDER, "mark = (table_number if edge.table_id else 0)", "mark = 0"),
    Fault(RENDER, "out.put(base.ARP_OWN, *(Element((name, interface.mac, a)) for a in interface.ipv4), family=ARP)", "pass"),
    Fault("nftables.flatten", "(allow for (first, last), allow in rules if", "(allow for (first, last), allow in reversed(rules) if"),
    Fault("nftables.flatten", "inner = [b for b in blocks if b.prefixlen > block.prefixlen and _covers(block, b)]", "inner = []"),
    Fault("nftables.boxes", "return _inside(inner.protocols, outer.protocols) and _inside(inner.values, outer.values)", "return True"),
    Fault(BASE, '"in": ((BEGUN_IN, 0), (BEGUN_OUT, 1))', '"in": ((BEGUN_IN, 1), (BEGUN_OUT, 0))'),
    Fault(BASE, "(Bits(META_MARK, SAME_SUBNET, some=False), Dispatch((OIFGROUP,), ACL_IN.name))", "(Bits(META_MARK, SAME_SUBNET, some=True), Dispatch((OIFGROUP,), ACL_IN.name))"),
    Fault(BASE, '(HasState("related"), Masked(CT_MARK, BEGUN, 0, differs=True), goto(then))', '(HasState("related"), goto(then))'),
    Fault(BASE, "    (_OTHER_ZONE, goto(\"refuse-router\")),", ""),
    Fault(BASE, "return ((Is(CT_DIRECTION, 0), SetConnectionMark(mark), goto(then)), (goto(then),))", "return ((SetConnectionMark(mark), goto(then)), (goto(then),))"),
    Fault(BASE, "                Masked(CT_MARK, BEGUN, begun),\n                SetConnectionMark", "                SetConnectionMark"),
    Fault(BASE, '*_judged("in", generation, JUDGED_INSIDE, *inside, *here)', '*_judged("in", generation, JUDGED_INSIDE, *here)'),
    Fault(BASE, 'HasState("related", some=False), goto(f"stamp-{side}")', 'goto(f"stamp-{side}")'),
    Fault(BASE, "(Bits(META_MARK, OWN_SOURCE, some=False), goto(\"refuse-router\")),", ""),
    Fault("topology", 'return f"throw {destination}"', 'return f"blackhole {destination}"'),
    Fault("topology", 'return f"blackhole {destination}"', 'return f"throw {destination}"'),
)  # fmt: skip
#: in the verifier: some world is no longer said to be what it is
VERIFIER = (
    Fault(PACKETS, "return NONE if a == b else both(a, outside(b))", "return both(a, outside(b)) if a != b else a"),
    Fault(PACKETS, "    if a == ALL or b == ALL:\n        return ALL", "    if a == ALL or b == ALL:\n        return b"),
    Fault(PACKETS, "ends.setdefault(each[field][1] + 1, []).append(number)", "ends.setdefault(each[field][1], []).append(number)"),
    Fault(SYMBOLIC, 'verdict = "next" if outcome.verdict == RETURN and do.code == "jump" else outcome.verdict', 'verdict = "next" if outcome.verdict == RETURN else outcome.verdict'),
    Fault(SYMBOLIC, "verdict = (ACCEPT if chain.hook.accepts else DROP)", "verdict = DROP"),
    Fault(SYMBOLIC, "return p.outside(equal) if do.operator == 1 else equal", "return equal"),
    Fault(SYMBOLIC, "wanted = [bit for bit in (1, 2, 4, 8, 64) if bit & held.mask == number]", "wanted = [1, 2, 4, 8, 64]"),
    Fault(SYMBOLIC, 'raise Unclear(f"an expression that is not known', 'return\n            raise Unclear(f"an expression that is not known'),
    Fault(SYMBOLIC, "            if entry.strange:\n", "            if False:\n"),
    Fault(SYMBOLIC, "if elements is None or elements.dynamic:", "if elements is None:"),
    Fault(SYMBOLIC, '            return {Outcome(UNKNOWN, UNCHANGED, f"there is no chain {name}"): POSSIBLE}', "            return {Outcome(DROP, UNCHANGED): POSSIBLE}"),
    Fault(OUTCOMES, "return first[0] & later[0], first[1] & later[0] | later[1]", "return later"),
    Fault(SYMBOLIC, "            if name != \"mark\":\n                run.ask(name, mask)", "            if name != \"mark\":\n                pass"),
    Fault(SYMBOLIC, "                run.ask(\"mark\", (mask or WORD) & effects.mark[0])", "                pass"),
    Fault(REGISTERS, "fits = [n for n in range(full + 1) if n & some == wanted]", "fits = [wanted]"),
    Fault(REGISTERS, "p.box({held.field: (value, value | rest)})", "p.box({held.field: (value, value)})"),
    Fault(PROOFS, "        for drift, some in ((Drift.ADMITS, p.without(got, asked)), (Drift.REFUSES, p.without(asked, got))):", "        for drift, some in ((Drift.REFUSES, p.without(asked, got)),):"),
    Fault(PROOFS, "        for drift, some in ((Drift.ADMITS, p.without(got, asked)), (Drift.REFUSES, p.without(asked, got))):", "        for drift, some in ((Drift.ADMITS, p.without(got, asked)),):"),
    Fault(PROOFS, "            if chain.hook is not None and asked.get(name)", "            if key in hooks and chain.hook is not None and asked.get(name)"),
    Fault(PROOFS, "        if content.asleep and key in hooks:", "        if False:"),
    Fault(PROOFS, "        if outcome.verdict not in (ACCEPT, DROP):", "        if False:"),
    Fault(PROVE, 'label = ("zone", effects.zone, _meaning(mark))', 'label = ("zone", eni.number, _meaning(mark))'),
    Fault(PROVE, "            if outcome.effects.connection != (WORD, 0):", "            if False:"),
    Fault(PROVE, "        none(p.without(packets, p.either(begins, begun_here)), ", "        none(p.NONE, "),
    Fault(PROVE, "            if not side.egress and inside_only != ask.meaning.inside:", "            if False:"),
    Fault(PROVE, "flagged = p.union(p.box({p.JUDGED: (n, n)}) for n in range(16) if n & bits)", "flagged = p.ALL"),
    Fault(PROVE, "now = p.box({p.GENERATION: (self.generation, self.generation)})\n        kinds", "now = p.ALL\n        kinds"),
    Fault(PROVE, "tracked = p.without(ruled, admission.untracked)", "tracked = begins"),
)  # fmt: skip


#: in what proves gateways and the internet, or interprets their rules
GATEWAYS = (
    Fault(GATEWAY, "return p.without(m.of_blocks(field, UNROUTABLE), m.of_blocks(field, [IPV6_POOL]))", "return p.NONE"),
    Fault(GATEWAY, "return p.without(m.of_blocks(field, UNROUTABLE), m.of_blocks(field, [IPV6_POOL]))", "return m.of_blocks(field, UNROUTABLE)"),
    Fault(GATEWAY, "        self._maps()\n", ""),
    Fault(GATEWAY, 'self._map("public", {private: public for public, private in self.nat.items()})', "pass"),
    Fault(GATEWAY, "            if has != wants:", "            if has is None and wants:"),
    Fault(GATEWAY, "        self._arrive(EDGE_VPC, self._from_vpc())\n", ""),
    Fault(GATEWAY, "        self._arrive(EDGE_INTERNET, self._from_internet())\n", ""),
    Fault(GATEWAY, "        self._routes()\n", ""),
    Fault(GATEWAY, "        self._forward()\n", ""),
    Fault(GATEWAY, "        self._leave()\n", ""),
    Fault(GATEWAY, "        self._itself()\n", ""),
    Fault(GATEWAY, "comes = p.without(comes, m.of_addresses(p.SOURCE, self.nat))", "pass"),
    Fault(GATEWAY, "back = m.of_addresses(p.DESTINATION, self.nat)", "back = p.NONE"),
    Fault(GATEWAY, "own = m.of_blocks(p.SOURCE, self.edge.ipv6)", "own = p.ALL"),
    Fault(GATEWAY, "known = m.of_addresses(p.SOURCE, self.nat.values())", "known = m.of_addresses(p.SOURCE, self.nat)"),
    Fault(GATEWAY, "label: object = (done[0] if done else None)", "label: object = None"),
    Fault(GATEWAY, "(1, 12, 4), (1, 10, 1)", "(1, 12, 4), (1, 10, 0)"),
    Fault(GATEWAY, "        if quoted is not None:\n            every", "        if False:\n            every"),
    Fault(GATEWAY, "inventory(proof, found, _EDGE_HOOKS)", "pass"),
    Fault(GATEWAY, "asked = p.either(m.of_addresses(p.SOURCE, [address]), m.DISCOVERY)", "asked = p.union(some for _, some in accepted)"),
    Fault(GATEWAY, "back = Roads(found.paths, p.SOURCE)(0)", "back = Roads(found.paths)(0)"),
    Fault(GATEWAY, "    led_as_asked(proof, Roads(found.paths)(0), *_internet_roads(gates, links), component)\n", ""),
    Fault(SYMBOLIC, "return one[0] == other[0] and one[1] < other[1] + other[2]", "return one[0] != other[0] and one[1] < other[1] + other[2]"),
    Fault(SYMBOLIC, "return p.outside(held.led)", "return held.led"),
    Fault(SYMBOLIC, "return Mapped(do.name, where, part.field), inside", "return Mapped(do.name, where, part.field), p.ALL"),
    Fault(SYMBOLIC, "made = Exchange(held.where, (kind, place, flags), held.by, held.field)", 'made = Exchange(held.where, (kind, place, flags), "private", held.field)'),
    Fault(SYMBOLIC, "exchanged=(*gate.exchanged, *(each.where for each in effects.rewritten)),", "exchanged=(),"),
    Fault(ROADS, "p.boxes([{self._field: span} for span in many])", "p.boxes([{p.DESTINATION: span} for span in many])"),
)  # fmt: skip

#: in what proves gateway endpoints
SERVICES = (
    Fault(PROVER, "return prove_endpoint(endpoint,", "return Proof(component)\n            return prove_endpoint(endpoint,"),
    Fault(PROVER, "(each for each in fragments if isinstance(each, Interface))", "()"),
    Fault(SERVICE, "inventory(proof, found, _HOOKS)", "pass"),
    Fault(SERVICE, 'for name in sorted(self.found.paths.links.keys() - {"lo", SERVICE}):', "for name in ():"),
    Fault(SERVICE, "        led_as_asked(self.proof,", "        (lambda *_: None)(self.proof,"),
    Fault(SERVICE, "{ITSELF: self.service, SERVICE: m.of_addresses(p.DESTINATION, self.vpc)}", "{SERVICE: m.of_addresses(p.DESTINATION, self.vpc)}"),
    Fault(SERVICE, "        self._equal(self._believed(),", "        (lambda *_: None)(self._believed(),"),
    Fault(SERVICE, "!= strict:", 'not in (strict, "2"):'),
    Fault(SERVICE, "Roads(self.found.paths, p.SOURCE)(0)", "Roads(self.found.paths)(0)"),
    Fault(SERVICE, 'self._equal(self._accepted("input", Gate(iif=SERVICE)), _ASKED, "input")', "pass"),
    Fault(SERVICE, 'self._equal(self._accepted("output", Gate(oif=SERVICE)), _ANSWERED, "output")', "pass"),
    Fault(SERVICE, "_ANSWERED, \"output\")", "_ASKED, \"output\")"),
    Fault(SERVICE, "        for iif in (SERVICE, \"lo\", _OTHER):\n", "        for iif in ():\n"),
    Fault(SERVICE, "            if effects != UNCHANGED:", "            if False:"),
    Fault(SERVICE, "p.box({p.FAMILY: p.family(4), p.PROTOCOL: (m.TCP, m.TCP), port: (_HTTPS, _HTTPS)})", "p.box({p.PROTOCOL: (m.TCP, m.TCP), port: (_HTTPS, _HTTPS)})"),
    Fault(SERVICE, "p.WORD: (kind << 8, (kind << 8) + 255)", "p.WORD: (kind << 8, 65535)"),
)  # fmt: skip
#: in what a VPC's proof says of its peers and gateway endpoints
JOINED = (
    Fault(PROVE, "self.joins = [name for id in sorted(model.joined) for name in peer_links(id)]", "self.joins = []"),
    Fault(PROVE, "        for name in self.joins:\n            self._lead(", "        for name in ():\n            self._lead("),
    Fault(PROVE, "        for way in self.ways:  # what a service answers", "        for way in ():  # what a service answers"),
    Fault(PROVE, "for way in (GATEWAY, *self.ways, *self.joins, _STRANGER):", "for way in (GATEWAY, *self.ways, _STRANGER):"),
    Fault(PROVE, "for way in (GATEWAY, *self.ways, *self.joins, _STRANGER):", "for way in (GATEWAY, *self.joins, _STRANGER):"),
    Fault(PROVE, "            for other in (*ways, *self.joins):", "            for other in ways:"),
    Fault(PROVE, "            for other in (*ways, *self.joins):", "            for other in self.joins:"),
    Fault(PROVE, "for iif in (LOOP_IN, GATEWAY, *self.ways, *self.joins, _STRANGER):", "for iif in (LOOP_IN, *self.ways, *self.joins, _STRANGER):"),
    Fault(PROVE, "for iif in (LOOP_IN, GATEWAY, *self.ways, *self.joins, _STRANGER):", "for iif in (LOOP_IN, GATEWAY, *self.joins, _STRANGER):"),
    Fault(PROVE, "for iif in (LOOP_IN, GATEWAY, *self.ways, *self.joins, _STRANGER):", "for iif in (LOOP_IN, GATEWAY, *self.ways, _STRANGER):"),
    Fault(PROVE, "wanted = asked if iif == LOOP_IN else p.NONE", "wanted = asked"),
    Fault(PROVE, "ours = m.of_blocks(p.SOURCE, [*vpc.ipv4, *vpc.ipv6])", "ours = p.ALL"),
    Fault(PROVE, "for iif in (_STRANGER, LOOP_IN, GATEWAY, *self.ways, *self.joins):", "for iif in (_STRANGER, LOOP_IN, GATEWAY, *self.ways):"),
    Fault(PROVE, "for iif in (_STRANGER, LOOP_IN, GATEWAY, *self.ways, *self.joins):", "for iif in (_STRANGER, LOOP_IN, GATEWAY, *self.joins):"),
    Fault(PROVE, "if (place == peer_links(id)[0]) is not meaning.direct:", "if False:"),
    Fault(PROVE, "return next((id for id in self.model.joined if iif == peer_links(id)[0]), None)", "return None"),
    Fault(PROVE, "return next((id for id in self.model.joined if iif == peer_links(id)[0]), None)", "return next((id for id in self.model.joined if iif in peer_links(id)), None)"),
    Fault(MODEL, "if way is not None and over in (way.peering_id, ANYWHERE):", "if way is not None and over:"),
    Fault(MODEL, "route.target in self.endpoints and version == 4", "route.target in self.endpoints and version == 6"),
)  # fmt: skip


class _Faulty(SourceFileLoader):
    def __init__(self, name: str, path: str, fault: Fault) -> None:
        super().__init__(name, path)
        self._fault = fault

    def get_code(self, fullname: str) -> CodeType:
        with open(self.path) as file:
            source = file.read()
        if self._fault.right not in source:
            raise AssertionError(f"{self._fault.module} does not say: {self._fault.right}")
        try:
            return compile(source.replace(self._fault.right, self._fault.wrong), self.path, "exec")
        except SyntaxError as problem:
            raise AssertionError(str(problem)) from None


class _Finder(MetaPathFinder):
    def __init__(self, fault: Fault) -> None:
        self._fault, self._name = fault, f"ringfence.dataplane.{fault.module}"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name or path is None:
            return None
        place = os.path.join(next(iter(path)), fullname.rpartition(".")[2] + ".py")
        return importlib.util.spec_from_file_location(fullname, place, loader=_Faulty(fullname, place, self._fault))


def survives(fault: Fault, notices: Callable[[], bool]) -> bool:
    """Does nobody notice the fault? `notices` runs with it, in a fork. AssertionError when it does not fit, or only crashes."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            for name in [name for name in sys.modules if name.startswith(AGAIN)]:
                del sys.modules[name]
                parent, _, child = name.rpartition(".")
                if parent in sys.modules:
                    vars(sys.modules[parent]).pop(child, None)
            sys.meta_path.insert(0, _Finder(fault))
            status = 0 if notices() else 1
        except Exception:  # noqa: BLE001  a fault must be noticed by what is said, not by a crash
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == 3:
        raise AssertionError(f"the fault does not fit: {fault.id}")
    return os.waitstatus_to_exitcode(status) == 1

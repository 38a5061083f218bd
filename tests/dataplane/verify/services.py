"""What the proof must say of a gateway endpoint's namespace: as it should be, and with one thing wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ringfence.dataplane.nftables.assembly import ServiceTables
from ringfence.dataplane.plan import SERVICE as LINK
from ringfence.dataplane.verify import wanted
from ringfence.dataplane.verify.program import Compare, InRange, Put, Strange, Write
from ringfence.dataplane.verify.rtnetlink import PolicyRule
from ringfence.dataplane.verify.snapshot import HookPoint, Rules
from tests.dataplane.verify.gateways import ACCEPT, MORE, Held, Wrong, _no_route, _open, _route, said
from tests.dataplane.verify.joined import SERVICE
from tests.kernel.worlds import eni

ID = SERVICE.endpoint_id
ENIS = (eni("eni-a", 1, 1, 10, ["sg-a"]), eni("eni-b", 2, 2, 10, ["sg-b"]))
MORE[ID] = lambda: (
    wanted.endpoint(ServiceTables().desired.tables(), SERVICE, ENIS), [SERVICE, *ENIS], frozenset[str](),
)  # fmt: skip
_Wrong = partial(Wrong, place=ID)


def _without(held: Held, chain: str, rule: int, kind: type) -> None:
    """A rule that does not ask so any more; with what was loaded for it."""
    parts = list(held.rules(chain)[rule])
    at = next(number for number, each in enumerate(parts) if isinstance(each, kind))
    held.rules(chain)[rule] = tuple(parts[: at - 1] + parts[at + 1 :])


def _ports(held: Held, chain: str, port: int) -> None:
    """TCP on another port."""
    held.rules(chain)[1] = tuple(
        replace(each, value=port.to_bytes(2, "big"))
        if isinstance(each, Compare) and each.value == (443).to_bytes(2, "big")
        else each
        for each in held.rules(chain)[1]
    )


def _link(held: Held) -> None:
    held.paths.links["c1"] = True


MARKS = (Put(0, b"\1\0\0\0"), Write(("meta", 3), 0))
WRONG = (
    _Wrong("anything is heard", "admits", lambda h: h.insert("input", ACCEPT)),
    _Wrong("IPv6 is heard", "admits", lambda h: _without(h, "input", 1, Compare)),
    _Wrong("all of ICMP is heard", "admits", lambda h: _without(h, "input", 2, InRange)),
    _Wrong("another port", "admits", lambda h: _ports(h, "input", 444)),
    _Wrong("another port answers", "admits", lambda h: _ports(h, "output", 80)),
    _Wrong("pings are not heard", "refuses", lambda h: h.rules("input").pop(2)),
    _Wrong("the service is not heard", "refuses", lambda h: h.rules("input").pop(1)),
    _Wrong("pings are not answered", "refuses", lambda h: h.rules("output").pop(2)),
    _Wrong("the service does not answer", "refuses", lambda h: h.rules("output").pop(1)),
    _Wrong("it says anything", "admits", lambda h: h.insert("output", ACCEPT)),
    _Wrong("what is heard is marked", "admits", lambda h: h.insert("input", *MARKS)),
    _Wrong("it forwards", "admits", lambda h: h.insert("forward", ACCEPT)),
    _Wrong("forward open", "admits", lambda h: _open(h, "forward")),
    _Wrong("input open", "admits", lambda h: _open(h, "input")),
    _Wrong("output open", "admits", lambda h: _open(h, "output")),
    _Wrong("somebody else is led back", "admits", lambda h: _route(h, "10.0.3.0/24", LINK)),
    _Wrong("everybody is led back", "admits", lambda h: _route(h, "0.0.0.0/0", LINK)),
    _Wrong("an interface is not led back", "refuses", lambda h: _no_route(h, "10.0.1.10/32")),
    _Wrong("sources are not checked", "admits", lambda h: h.found.settings.__setitem__(
        "net/ipv4/conf/all/rp_filter", "0")),
    _Wrong("sources are checked loosely", "admits", lambda h: h.found.settings.__setitem__(
        "net/ipv4/conf/all/rp_filter", "2")),
    _Wrong("its addresses are not there", "refuses", lambda h: _no_route(h, str(SERVICE.blocks[0]))),
    _Wrong("an address more", "admits", lambda h: h.paths.routes.append(replace(
        next(each for each in h.paths.routes if each.kind == "local"), destination=wanted.ip_network("198.18.0.68/32")))),
    _Wrong("another table first", "refuses", lambda h: h.paths.rules.append(PolicyRule(4, 7, 0, 0, 99, strange=True))),
    _Wrong("another link", "admits", _link),
    _Wrong("asleep", "admits", lambda h: setattr(h.table, "asleep", True)),
    _Wrong("a base chain more", "unknown", lambda h: h.table.chains.__setitem__(
        "early", Rules(HookPoint(0, -500, accepts=True, kind="filter"), []))),
    _Wrong("no tables", "admits", lambda h: h.found.tables.clear()),
    _Wrong("not understood", "unknown", lambda h: h.insert("input", Strange("limit", b""), ACCEPT)),
)  # fmt: skip


def problems() -> Iterator[str]:
    """Everything that is not said as it should be, the healthy place first."""
    if told := said(None, ID):
        yield f"{ID}: {told}"
    for wrong in WRONG:
        if wrong.proof not in (told := said(wrong)):
            yield f"{wrong.name}: {told or 'nothing'}, not {wrong.proof}"

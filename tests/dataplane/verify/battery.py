"""What the proof must say of worlds that are as they should be, and of the same with one thing wrong; and what the comparison must."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import IPv4Network, ip_address

from ringfence.dataplane.nftables.terms import goto
from ringfence.dataplane.plan import OWN_SOURCE, SAME_SUBNET
from ringfence.dataplane.verify.compare import compare
from ringfence.dataplane.verify.program import (
    Bitwise,
    Compare,
    Decide,
    Instruction,
    Load,
    Program,
    Put,
    Strange,
    Untracked,
    Write,
)
from ringfence.dataplane.verify.prove import prove
from ringfence.dataplane.verify.rtnetlink import PolicyRule, Route
from ringfence.dataplane.verify.snapshot import Elements, Entry, HookPoint, Rules, Snapshot, TableContent
from ringfence.policy.ir import Counting, Fragment, Interface, Via
from ringfence.policy.ir import Route as IrRoute
from tests.dataplane.verify.simulated import place_of, snapshot_of
from tests.kernel.worlds import (
    INTERNET_ROUTES,
    LOCAL_ROUTES,
    VPC,
    acl,
    allow,
    edge,
    eni,
    entry,
    group,
    members,
    pair,
    subnet,
    table,
    to_eni,
    vpc,
)

INET, ARP = (1, "ringfence"), (3, "ringfence")


def small() -> list[Fragment]:
    return pair([allow("tcp", "80", "10.0.0.0/8"), allow("tcp", "81", "sg-a"), allow("icmp", icmp=(8, 0))])


def rich() -> list[Fragment]:
    """Appliance, routes within the VPC, references, network ACLs short and long, IPv6, untracked flows, a gateway with a table."""
    short = [
        entry(10, "deny", "tcp", "22", "10.0.1.0/24"), entry(20, "allow", "tcp", "0-1023", "10.0.0.0/16"),
        entry(30, "deny", "icmp", "", "0.0.0.0/0", icmp=(8, None)), entry(40, "allow", "all"), entry(50, "allow", "all", "", "::/0"),
    ]  # fmt: skip
    long = [entry(n, "deny" if n % 3 else "allow", "tcp", f"{n}-{n + 50}", f"10.0.{n % 4}.0/24") for n in range(1, 30)]
    long += [
        entry(99, "deny", "udp", "53", "10.0.2.0/24"),
        entry(100, "allow", 47),
        entry(101, "allow", "udp", "53", "0.0.0.0/0"),
        entry(102, "allow", "icmp", icmp=(8, 0)),
    ]
    routes = [
        *LOCAL_ROUTES, *INTERNET_ROUTES, to_eni("10.0.2.0/24", "eni-c"), to_eni("192.168.0.0/16", "eni-c"),
        IrRoute(destination=IPv4Network("10.0.3.0/28"), via=Via.BLACKHOLE),
    ]  # fmt: skip
    enis = [
        replace(eni("eni-a", 1, 1, 10, ["sg-a"]), counted=Counting(flags=True)),
        replace(eni("eni-b", 2, 2, 10, ["sg-a", "sg-b"]), counted=Counting(flags=False, passed=False)),
        eni("eni-c", 3, 1, 11, ["sg-c"], check=False), eni("eni-d", 4, 3, 40, ["sg-b", "sg-c"]),
    ]  # fmt: skip
    return members(
        vpc(), table(), table("rtb-2", 2, routes), acl("acl-short", short, short), acl("acl-long", long, long), acl(),
        subnet("subnet-1", 1, "acl-short", "rtb-2"), subnet("subnet-2", 2, "acl-long"), subnet("subnet-3", 3),
        group("sg-a", [allow("tcp", "443"), allow("udp", "53", "sg-b"), allow("icmpv6", peer="::/0", icmp=(128, None))],
              [allow("tcp", "0-65535"), allow("udp", "53", "10.0.3.0/24")]),
        group("sg-b", [allow("tcp", "80-90", "10.0.0.0/8"), allow("tcp", "85-95", "10.0.1.0/24"), allow(47, "", "sg-a")],
              [allow("all", "", "sg-a"), allow("tcp", "25", "::/0")]),
        group("sg-c", [allow("tcp", "0-65535"), allow("udp", "1000-2000", "2001:db8:1::/56")]),
        *enis, edge({"198.18.0.1": "10.0.1.10"}, "rtb-2"),
    )  # fmt: skip


WORLDS: dict[str, Callable[[], list[Fragment]]] = {"small": small, "rich": rich}
Change = Callable[["Held"], object]


class Held:
    """What a namespace holds, to be changed."""

    def __init__(self, found: Snapshot) -> None:
        self.found, self.paths = found, found.paths
        self.table = found.tables[INET]

    def rules(self, pattern: str) -> list[Program]:
        """The rules of the only chain whose name fits."""
        (name,) = (each for each in self.table.chains if re.fullmatch(pattern, each))
        return self.table.chains[name].programs

    def set(self, pattern: str) -> list[Entry]:
        names = sorted(each for each in self.table.sets if re.fullmatch(pattern, each))
        return self.table.sets[names[0]].entries

    def changed(self, pattern: str, change: Callable[[Instruction], Instruction]) -> None:
        """Every instruction of a chain."""
        rules = self.rules(pattern)
        rules[:] = [tuple(change(each) for each in rule) for rule in rules]

    def class_of(self, number: int) -> str:
        """The chain of an interface's groups, inbound."""
        (entry,) = (each for each in self.set("sg-in") if each.key == _link(number))
        return re.escape(re.search(rb"in\.class-[0-9a-f]+", entry.value)[0].decode())  # type: ignore[index]


@dataclass(frozen=True)
class Wrong:
    """One thing wrong; what the proof must say ("" = nothing)."""

    name: str
    proof: str
    change: Change
    world: str = "rich"


def _link(number: int) -> bytes:
    return _word(number)


def _word(value: int) -> bytes:
    return struct.pack("=I", value)


def _goto(chain: str) -> bytes:
    return goto(chain).data()


def _swap(rules: list[Program], a: int, b: int) -> None:
    rules[a], rules[b] = rules[b], rules[a]


def _open(held: Held, name: str) -> None:
    chain = held.table.chains[name]
    assert chain.hook is not None
    chain.hook = replace(chain.hook, accepts=True)
    chain.programs.clear()


def _mark(held: Held, bits: int) -> None:
    """The marks of eni-a's packets have these bits too."""

    def more(each: Instruction) -> Instruction:
        if not isinstance(each, Put) or len(each.value) != 4:
            return each
        return Put(each.into, _word(struct.unpack("=I", each.value)[0] | bits))

    held.changed("own4-1", more)


def _hook(held: Held, key: tuple[int, str], name: str) -> None:
    rules = Rules(HookPoint(0, -600, True, "filter"), [(Untracked(),)])
    held.found.tables.setdefault(key, TableContent()).chains[name] = rules


def _route(
    held: Held, table_number: int, destination: str, link: str, *, kind: str = "unicast", metric: int = 0
) -> None:
    held.paths.routes.append(Route(4, table_number, kind, IPv4Network(destination), metric, None, link))


def _no_route(held: Held, table_number: int, destination: str) -> None:
    block = IPv4Network(destination)
    held.paths.routes = [
        each
        for each in held.paths.routes
        if (each.table, each.destination) != (table_number, block) or each.metric == 20000
    ]


def _both(*done: object) -> None:
    """Two things, one after the other."""


STATE_IS_RELATED = (Load(("ct", 0), 0), Bitwise(0, 0, _word(4), _word(0)), Compare(0, 1, _word(0)))
BEGUN_IN = (Put(0, _word(2)), Write(("ct", 3), 0))
FLAGGED = (Put(0, _word(7 << 6 | 2 << 2 | 2)), Write(("ct", 3), 0))
ARRIVED_THE_OTHER_WAY = (Load(("ct", 1), 0), Compare(0, 0, b"\1"))
WRONG = (
    Wrong("a rule in front that accepts", "admits", lambda h: h.rules("forward").insert(0, (Decide("accept"),))),
    Wrong("a group's rule for everything", "admits", lambda h: h.rules(r"in\.sg-b").insert(0, (Decide("goto", "track-in"),))),
    Wrong("a jump made a goto", "refuses", lambda h: h.rules(h.class_of(2)).__setitem__(-3, (Decide("goto", "in.sg-a"),))),
    Wrong("acl entries exchanged", "admits", lambda h: _swap(h.rules(r"in\.acl-short"), 0, 1)),
    Wrong("acl entry gone", "admits", lambda h: h.rules(r"in\.acl-short").pop(0)),
    Wrong("the last deny of an acl gone", "admits", lambda h: h.rules(r"in\.acl-long").pop()),
    Wrong("acl never asked, in", "admits", lambda h: h.set("acl-in").clear()),
    Wrong("acl never asked, out", "admits", lambda h: h.rules("acl-out").__setitem__(1, (Decide("goto", "passed-out"),))),
    Wrong("an acl asked inside its subnet", "refuses", lambda h: h.rules("acl-out").pop(0)),
    Wrong("a piece of a long acl gone", "refuses", lambda h: h.set(r"in\.acl-long\.other.*|in\.acl-long\.types4.*").pop()),
    Wrong("groups never asked", "admits", lambda h: h.rules("in-ask").__setitem__(-2, (Decide("goto", "destination"),))),
    Wrong("any answer", "admits", lambda h: h.rules("in-ask").insert(0, (*ARRIVED_THE_OTHER_WAY, Decide("goto", "destination")))),
    Wrong("errors about anything", "admits", lambda h: h.rules("in-ask").insert(3, (*STATE_IS_RELATED, Decide("goto", "destination")))),
    Wrong("no errors about flows", "refuses", lambda h: h.rules("out-ask").pop(2)),
    Wrong("destination not checked", "admits", lambda h: h.rules("destination").__setitem__(0, (Decide("goto", "passed-in"),))),
    Wrong("a member more", "admits", lambda h: h.set(r"members4\.sg-a").append(Entry(ip_address("10.0.3.40").packed, b"", b""))),
    Wrong("a member less", "refuses", lambda h: h.set(r"members4\.sg-b").pop()),
    Wrong("references of what did not come straight", "admits", lambda h: h.rules(r"in\.sg-a").remove(
        next(rule for rule in h.rules(r"in\.sg-a") if rule[-1] == Decide("return")))),
    Wrong("a range of ports wider", "admits", lambda h: h.set(r"in\.sg-b\.ports4.*").__setitem__(0, replace(
        h.set(r"in\.sg-b\.ports4.*")[0], end=h.set(r"in\.sg-b\.ports4.*")[0].end[:8] + b"\xff\xff\0\0"))),
    Wrong("any source", "admits", lambda h: h.set("any-source").append(
        Entry(_link(1) + bytes.fromhex("0200000000010000"), b"", _goto("own4-1")))),
    Wrong("no source at all", "refuses", lambda h: h.set("own6").clear()),
    Wrong("another's zone", "admits", lambda h: h.changed("own4-1", lambda each: Put(0, b"\2\0") if each == Put(0, b"\1\0") else each)),
    Wrong("another's zone on arrival", "refuses", lambda h: h.rules("owned-2").__setitem__(0, h.rules("owned-4")[0])),
    Wrong("arrives outside its zone", "admits", lambda h: _both(h.set("owner4").clear(), h.set("zone-out").clear())),
    Wrong("zones are not compared", "admits", lambda h: h.rules("in-ask").pop(3)),
    Wrong("says it is inside its subnet", "admits", lambda h: _mark(h, SAME_SUBNET)),
    Wrong("says the source is its own", "admits", lambda h: h.changed("any-3", lambda each: Put(0, _word(
        struct.unpack("=I", each.value)[0] | OWN_SOURCE)) if isinstance(each, Put) and len(each.value) == 4 else each)),
    Wrong("another route table", "admits", lambda h: _mark(h, 1)),
    Wrong("plain where routes lead elsewhere", "admits", lambda h: _mark(h, 1 << 19)),
    Wrong("the gateway's packets by another table", "admits", lambda h: h.set("gates").__setitem__(-1, replace(
        h.set("gates")[-1], value=b"\x08\0\x01\0" + _word(0)))),
    Wrong("a link in another's group", "admits", lambda h: h.paths.groups.__setitem__("e1", 3)),
    Wrong("forward open", "admits", lambda h: _open(h, "forward")),
    Wrong("input open", "admits", lambda h: _open(h, "input")),
    Wrong("output open", "admits", lambda h: _open(h, "output")),
    Wrong("guard open", "admits", lambda h: _open(h, "guard")),
    Wrong("asleep", "admits", lambda h: setattr(h.table, "asleep", True)),
    Wrong("a table of somebody else's", "unknown", lambda h: _hook(h, (1, "mine"), "early")),
    Wrong("a base chain more", "unknown", lambda h: _hook(h, INET, "early")),
    Wrong("a flowtable", "unknown", lambda h: h.table.flowtables.add("fast")),
    Wrong("no tables", "admits", lambda h: h.found.tables.clear()),
    Wrong("no arp", "admits", lambda h: h.found.tables.pop(ARP)),
    Wrong("any arp", "admits", lambda h: h.found.tables[ARP].chains["input"].programs.insert(0, (Decide("accept"),))),
    Wrong("an expression nobody knows", "unknown", lambda h: h.rules("out-ask").insert(0, (Strange("limit", b""), Decide("accept")))),
    Wrong("a set that is gone", "unknown", lambda h: h.table.sets.pop("members4.sg-a")),
    Wrong("a set that packets fill", "unknown", lambda h: h.table.sets.__setitem__("members4.sg-a", Elements(0x20, 4, 0, 0))),
    Wrong("a chain that is gone", "unknown", lambda h: h.table.chains.pop("track-in")),
    Wrong("an element that expires", "unknown", lambda h: h.set(r"members4\.sg-a").__setitem__(
        0, replace(h.set(r"members4\.sg-a")[0], strange=True))),
    Wrong("flagged without being asked", "admits", lambda h: h.rules("in-ask").insert(0, FLAGGED)),
    Wrong("begun without a rule", "admits", lambda h: h.rules("in-ask").insert(0, BEGUN_IN)),
    Wrong("flags of what stays inside count everywhere", "admits", lambda h: h.rules("stamp-in").pop(0)),
    Wrong("flows are never flagged", "", lambda h: h.rules("passed-in").__delitem__(slice(0, 2))),
    Wrong("the memory of another generation", "admits", lambda h: h.set("generation").__setitem__(0, Entry(_word(6), b"", b""))),
    Wrong("two generations", "unknown", lambda h: h.set("generation").append(Entry(_word(8), b"", b""))),
    Wrong("flows are not begun", "refuses", lambda h: h.rules("track-in").pop(0)),
    Wrong("answers begin flows", "admits", lambda h: h.rules("track-in").__setitem__(0, h.rules("track-in")[0][2:])),
    Wrong("untracked flows are tracked", "admits", lambda h: h.set(r"out\.sg-a\.wide|in\.sg-c\.wide").clear()),
    Wrong("leaves past the second pass", "admits", lambda h: h.rules("forward").insert(0, (Decide("goto", "out"),))),
    Wrong("back out of the gateway", "admits", lambda h: h.rules("in-ask").__setitem__(0, h.rules("in-ask")[0][2:])),
    Wrong("a service more", "admits", lambda h: h.set("listen4").append(
        Entry(ip_address("169.254.169.254").packed + b"\6\0\0\0\0\x16\0\0", b"", b""))),
    Wrong("a service's address more", "admits", lambda h: h.set("services4").append(Entry(ip_address("10.0.2.10").packed, b"", b""))),
    Wrong("no way to the second pass", "refuses", lambda h: h.paths.routes.__setitem__(
        slice(None), [each for each in h.paths.routes if each.link != "l0"])),
    Wrong("a route more", "admits", lambda h: _route(h, 254, "10.0.9.0/24", "e1")),
    Wrong("a blackhole less", "admits", lambda h: _no_route(h, 1002, "10.0.3.0/28"), "blackholed"),
    Wrong("an appliance's route less", "refuses", lambda h: _no_route(h, 1002, "192.168.0.0/16")),
    Wrong("a worse route for the same", "", lambda h: _route(h, 1002, "192.168.0.0/16", "e1", metric=5)),
    Wrong("another route for the same", "admits", lambda h: _both(
        _no_route(h, 1002, "192.168.0.0/16"), _route(h, 1002, "192.168.0.0/16", "e1"))),
    Wrong("a longer one", "admits", lambda h: _route(h, 1002, "192.168.7.0/24", "e1")),
    Wrong("a route nobody knows", "unknown", lambda h: _route(h, 254, "10.0.3.32/27", "", kind="nat")),
    Wrong("a mark's packets elsewhere", "admits", lambda h: h.paths.rules.append(PolicyRule(4, 7, OWN_SOURCE, OWN_SOURCE, 1002))),
    Wrong("a policy rule nobody knows", "unknown", lambda h: h.paths.rules.append(PolicyRule(4, 7, 0, 0, 254, strange=True))),
)  # fmt: skip


def blackholed() -> list[Fragment]:
    """As `rich`, with an interface where a blackhole is."""
    return members(
        *(each for each in rich() if type(each).__name__ not in ("GroupMembers",)), eni("eni-e", 5, 3, 10, ["sg-c"])
    )


WORLDS["blackholed"] = blackholed


@cache
def _held(world: str) -> tuple[list[Fragment], bytes]:
    fragments = WORLDS[world]()
    return fragments, pickle.dumps(snapshot_of(place_of(fragments)))


def said(wrong: Wrong | None, world: str = "rich") -> set[str]:
    """What the proof says."""
    fragments, held = _held(wrong.world if wrong else world)
    found: Snapshot = pickle.loads(held)
    if wrong is not None:
        wrong.change(Held(found))
    plugged = [each.eni_id for each in fragments if isinstance(each, Interface)]
    return {each.drift.value for each in prove(VPC, fragments, plugged, found).findings}


def differs(wrong: Wrong) -> bool:
    """Does the comparison see it?"""
    fragments, held = _held(wrong.world)
    found: Snapshot = pickle.loads(held)
    wrong.change(Held(found))
    return bool(compare(place_of(fragments), found))


def problems() -> Iterator[str]:
    """Everything that is not said as it should be, the healthy worlds first."""
    for world in WORLDS:
        if told := said(None, world):
            yield f"{world}: {told}"
    for wrong in WRONG:
        told = said(wrong)
        if not (wrong.proof in told if wrong.proof else not told):
            yield f"{wrong.name}: {told or 'nothing'}, not {wrong.proof or 'nothing'}"

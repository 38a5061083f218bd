"""What the kernel holds in every namespace of a data plane, in words that do not depend on how it came about.

Numbers of interfaces and of route tables are given out in the order of creation: they are replaced by ids. Handles, link
indexes and the router's own random MACs say nothing and are left out. So are epochs of flow logs: their names are times, closed
ones wait for their reader, and an open one also remembers interfaces that are gone.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ringfence.dataplane import topology
from ringfence.dataplane.nftables import base, fields
from ringfence.dataplane.plan import RELAY, TABLE_BASE, TABLE_BITS, policy_rule, vpc_ns
from ringfence.model.kinds import NETWORK_INTERFACE, ROUTE_TABLE
from ringfence.model.world import World

Say = Callable[[str, int], str]  # kind and number → id
#: sets and maps whose keys begin with the group of a link
LINKED = frozenset(each.name for each in base.INET_SETS if each.key[0] is fields.LINK)
MARKS = frozenset({"gates"})  # maps to packet marks
#: routes that the kernel makes itself: of addresses, and of an advertisement that a bare host heard if the agent lived so long
_UNASKED = frozenset({"kernel", "ra"})
UNDATED = 0x3F  # a connection mark without the generation of the rules
EPOCH, GONE = re.compile(r"counts\.(\d+)\.\d+\.(\w+)"), re.compile(r"interface \d+")
EXPIRES = re.compile(r'"expires": \d+, ')
LINK, ZONE_CHAIN = re.compile(r"e(\d+)"), re.compile(r"(own4|own6|any|to|owned)-(\d+)")


def everything(world: World) -> dict[str, list[str]]:
    """Namespace → its lines, sorted."""
    return {name: sorted(_timeless(_lines(name, _sayer(world, name)))) for name in sorted(topology.namespaces())}


def _timeless(lines: Iterable[str]) -> Iterator[str]:
    """Lines about the open epoch, without its name; none about others."""
    held = list(lines)
    newest = max((int(found[1]) for line in held for found in EPOCH.finditer(line)), default=0)
    for line in held:
        if any(int(found[1]) != newest for found in EPOCH.finditer(line)):
            continue
        if " holds " in line and GONE.search(line) and EPOCH.search(line):
            continue
        yield EXPIRES.sub("", EPOCH.sub(r"counts.\2", line))


def _sayer(world: World, namespace: str) -> Say:
    held = {
        (kind, row.number): row.id
        for kind, rows in (("interface", world.all(NETWORK_INTERFACE)), ("table", world.all(ROUTE_TABLE)))
        for row in rows
        if vpc_ns(row.vpc_id) == namespace
    }
    return lambda kind, number: held.get((kind, number), f"{kind} {number}")


def _lines(name: str, say: Say) -> Iterator[str]:
    places: Counter[tuple[str, str]] = Counter()  # chain → rules so far: their order matters
    for each in _json("nft", "-j", "list", "ruleset", inside=name)["nftables"]:
        if rule := each.get("rule"):
            places[rule["family"], rule["chain"]] += 1
            place = places[rule["family"], rule["chain"]]
            yield f"rule {rule['family']} {_word(rule['chain'], say)} {place:03} {json.dumps(_plain(rule['expr'], say))}"
        else:
            yield from _ruleset(each, say)
    for link in _json("ip", "-n", name, "-j", "addr", "show"):
        own = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if _ours(a)]
        mac = link["address"] if name.startswith(("i-", "eni-")) else ""
        yield f"link {_word(link['ifname'], say)} {link['mtu']} {sorted(link['flags'])} {sorted(own)} {mac}"
    for family in ("-4", "-6"):
        for rule in _json("ip", "-n", name, "-j", family, "rule", "show"):
            yield f"rule {family} {_rule(rule, say)}"
        for route in _json("ip", "-n", name, "-j", family, "route", "show", "table", "all"):
            if route.get("table") != "local" and route.get("protocol") not in _UNASKED:
                yield f"route {family} {_route(route, say)}"
    for neighbour in _json("ip", "-n", name, "-j", "neigh", "show", "nud", "permanent"):
        yield f"neighbour {neighbour['dst']} {neighbour['lladdr']} {_word(neighbour['dev'], say)}"


def _json(*command: str, inside: str = "") -> Any:
    prefix = ["ip", "netns", "exec", inside] if inside else []
    done = subprocess.run([*prefix, *command], check=True, capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout or "[]")


def _ours(address: dict[str, Any]) -> bool:
    """Not what the kernel derives from a link's MAC."""
    return not (address.get("scope") == "link" and ":" in address["local"] and "ff:fe" in address["local"])


def _word(text: str, say: Say) -> str:
    if found := LINK.fullmatch(text):
        return say("interface", int(found[1]))
    if found := ZONE_CHAIN.fullmatch(text):
        return f"{found[1]} {say('interface', int(found[2]))}"
    return text


def _table(text: str, say: Say) -> str:
    number = int(text) - TABLE_BASE if text.isdigit() else 0
    if number > RELAY:  # of what appliances pass on, beside the one of the same route table
        return f"relayed {say('table', number - RELAY)}"
    return say("table", number) if number > 0 else text


def _rule(rule: dict[str, Any], say: Say) -> str:
    table = _table(rule["table"], say)
    if table != rule["table"]:  # one rule per route table: preference, mark and table say the same number
        priority, mark, _ = policy_rule(int(rule["table"]) - TABLE_BASE)
        assert (rule["priority"], int(rule["fwmark"], 16)) == (priority, mark)
        return f"route table {table} {rule.get('fwmask')}"
    return json.dumps(rule, sort_keys=True)


def _route(route: dict[str, Any], say: Say) -> str:
    kept = {n: v for n, v in route.items() if n in ("type", "dst", "gateway", "metric", "flags", "via")}
    return f"{_table(route.get('table', 'main'), say)} {_word(route.get('dev', ''), say)} {json.dumps(kept, sort_keys=True)}"


# ---------------------------------------------------------------------- rules
def _ruleset(item: dict[str, Any], say: Say) -> Iterator[str]:
    (kind, body), *_ = item.items()
    if kind == "metainfo":
        return
    body = dict(body)
    body.pop("handle", None)
    elements = body.pop("elem", []) if kind in ("set", "map") else []
    yield f"{kind} {json.dumps(_plain(body, say), sort_keys=True)}"
    for element in elements:
        plain = _element(body["name"], element, say)
        yield f"{kind} {body['name']} holds {json.dumps(plain, sort_keys=True)}"


def _element(name: str, element: Any, say: Say) -> Any:
    if name == "generation":
        return "any"  # how many changes there were
    if name == "links":
        return _plain(element.get("elem", {}).get("comment", element), say) if isinstance(element, dict) else element
    if name == "timeouts":
        return [say("interface", element[0]), _plain(element[1], say)]
    if name in LINKED and name not in MARKS:
        is_map = isinstance(element, list)
        key = _by_link(element[0] if is_map else element, say)
        return [key, _plain(element[1], say)] if is_map else key
    if name in MARKS:
        mark = element[1]
        return [_plain(element[0], say), hex(mark & ~TABLE_BITS), say("table", mark & TABLE_BITS)]
    return _plain(element, say)


def _by_link(key: Any, say: Say) -> Any:
    """An interface's link is in the group of its number."""
    if isinstance(key, dict):
        return [_by_link(key["concat"][0], say), *_plain(key["concat"][1:], say)]
    return say("interface", key) if key <= TABLE_BITS else key


def _of_mark(left: Any) -> bool:
    """Is this the connection's mark, or some of its bits?"""
    return isinstance(left, dict) and {"ct": {"key": "mark"}} in (left, *left.get("&", ()))


def _plain(value: Any, say: Say) -> Any:
    """With links and zones named; handles gone."""
    if isinstance(value, str):
        return _word(value, say)
    if isinstance(value, list):
        return [_plain(item, say) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("key") == {"meta": {"key": "mark"}} and isinstance(value.get("value"), int):
        mark = value["value"]
        return {"mark": [hex(mark & ~TABLE_BITS), say("table", mark & TABLE_BITS)]}
    if value.get("key") == {"ct": {"key": "mark"}} and isinstance(value.get("value"), int):
        return {"connection mark": value["value"] & UNDATED}
    if "match" in value and _of_mark(value["match"]["left"]) and isinstance(value["match"]["right"], int):
        return {"match": [value["match"]["op"], _plain(value["match"]["left"], say), value["match"]["right"] & UNDATED]}
    if value.get("key") == {"ct": {"key": "zone"}} and isinstance(value.get("value"), int):
        return {"zone": say("interface", value["value"])}
    return {name: _plain(item, say) for name, item in value.items() if name != "handle"}

"""A data plane on which somebody changes one thing by hand, again and again: what does the watch find, name and repair?

    python -m tests.kernel.tampering        prints what happened as JSON, one entry for each of TAMPERS

Runs in a user, mount and network namespace of its own, with the site of `any_path`: two VPCs, appliances, a gateway.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any

from ringfence.dataplane import linux
from ringfence.dataplane.network import Network
from ringfence.dataplane.plan import INTERNET_NS, edge_ns, endpoint_ns, link, vpc_ns
from ringfence.dataplane.verify import repair
from ringfence.dataplane.verify.prover import run
from ringfence.dataplane.verify.watch import Verifier
from ringfence.model.kinds import NETWORK_INTERFACE, ROUTE_TABLE
from ringfence.policy.compile import compile_world
from tests.api.ops.harness import Api
from tests.kernel.any_path import BareGuests, Site, ordered
from tests.kernel.isolation import isolated
from tests.kernel.readback import everything


@dataclass(frozen=True)
class Tamper:
    """`commands`: for a shell inside the namespace, with `{web}` for the id and `{link-a}`, `{number-a}` for those of the
    interface; `component`: whose rule it is, by the name of the site; `what`: what the comparison calls it.

    `proof`: what the proof says of it ("" = packets fare the same); `shut`: it can only have closed something.
    """

    name: str
    commands: tuple[str, ...]
    component: str
    what: str
    drift: str
    proof: str
    where: str = "v1"
    shut: bool = False


def _nft(name: str, command: str, component: str, what: str, drift: str, proof: str, **rest: Any) -> Tamper:
    return Tamper(name, (f"nft '{command}'",), component, what, drift, proof, **rest)


T = "inet ringfence"
EVERY = (
    # one rule deleted
    Tamper("group rule deleted", ("nft -a list chain inet ringfence in.{db} | awk '/members4/ {{print $NF; exit}}' | xargs "
           "nft delete rule inet ringfence in.{db} handle",), "db", "rule", "missing", "refuses"),
    Tamper("acl deny deleted", ("nft -a list chain inet ringfence in.{acl} | awk '/198.51.100.0/ {{print $NF; exit}}' | xargs "
           "nft delete rule inet ringfence in.{acl} handle",), "acl", "rule", "missing", "admits"),
    Tamper("source check deleted", ("nft -a list chain inet ringfence guard | awk '/refuse-spoof/ {{print $NF; exit}}' | xargs "
           "nft delete rule inet ringfence guard handle",), "v1", "rule", "missing", ""),  # policy drop remains
    # one rule changed
    Tamper("acl deny made allow", ("h=$(nft -a list chain inet ringfence in.{acl} | awk '/198.51.100.0/ {{print $NF; exit}}'); "
           "nft replace rule inet ringfence in.{acl} handle $h ip saddr 198.51.100.0/24 return",), "acl", "rule", "changed",
           "admits"),
    Tamper("zone changed", ("h=$(nft -a list chain inet ringfence own4-{number-a} | awk '/ct zone/ {{h=$NF}} END {{print h}}'); "
           "nft replace rule inet ringfence own4-{number-a} handle $h meta mark set 0x000d0001 ct zone set {number-b} accept",),
           "a", "rule", "changed", "admits"),
    Tamper("zone of arrivals changed", ("h=$(nft -a list chain inet ringfence owned-{number-b} | awk '/ct zone/ {{print $NF}}'); "
           "nft replace rule inet ringfence owned-{number-b} handle $h 'meta mark set meta mark & 0x00030000 "
           "ct zone set {number-c} accept'",), "b", "rule", "changed", "refuses"),
    # a foreign rule inserted
    _nft("foreign rule in front", f"insert rule {T} forward accept", "v1", "rule", "extra", "admits"),
    _nft("foreign rule for one port", f"insert rule {T} in.{{db}} tcp dport 23 goto track-in", "db", "rule", "extra", "admits"),
    _nft("foreign counter", f"insert rule {T} out-ask counter", "v1", "rule", "extra", ""),
    _nft("foreign rule not understood", f"insert rule {T} out-ask limit rate 1/second accept", "v1", "rule", "extra", "unknown"),
    _nft("foreign mark", f"insert rule {T} in-ask ct mark set 2", "v1", "rule", "extra", "admits"),
    _nft("judged by nobody", f"insert rule {T} in-ask ct mark set 0x42c6 drop", "v1", "rule", "extra", "admits"),
    Tamper("foreign table", ("nft 'add table inet helpful'", "nft 'add chain inet helpful marks {{ type filter hook prerouting "
           "priority -500; }}'", "nft 'add rule inet helpful marks meta mark set 0x00010000'"), "v1", "table", "extra", "unknown"),
    Tamper("foreign base chain", (f"nft 'add chain {T} early {{{{ type filter hook prerouting priority -600; }}}}'",
           f"nft 'add rule {T} early notrack'"), "v1", "chain", "extra", "unknown"),
    # base chains
    _nft("policy of forward", f"add chain {T} forward {{{{ policy accept; }}}}", "v1", "chain", "changed", ""),
    Tamper("policy and rule of input", (f"nft 'add chain {T} input {{{{ policy accept; }}}}'", "nft -a list chain inet ringfence "
           "input | awk '/refuse-router/ {{h=$NF}} END {{print h}}' | xargs nft delete rule inet ringfence input handle"),
           "v1", "chain", "changed", "admits"),
    _nft("table asleep", f"add table {T} {{{{ flags dormant; }}}}", "v1", "table", "changed", "admits"),
    _nft("table deleted", f"delete table {T}", "v1", "table", "missing", "admits"),
    _nft("arp table deleted", "delete table arp ringfence", "v1", "table", "missing", "admits"),
    _nft("arp rule inserted", "insert rule arp ringfence input accept", "v1", "rule", "extra", "admits"),
    # sets and maps
    _nft("member added", f"add element {T} members4.{{web}} {{{{ 10.1.1.77 }}}}", "web", "element", "extra", "admits"),
    _nft("member removed", f"delete element {T} members4.{{web}} {{{{ 10.1.1.10 }}}}", "web", "element", "missing", "refuses",
         shut=True),
    _nft("range added", f"add element {T} in.{{web}}.ports4.0 {{{{ 0.0.0.0/0 . tcp . 22 }}}}", "web", "element", "extra", "admits"),
    _nft("range removed", f"delete element {T} in.{{web}}.ports4.0 {{{{ 203.0.113.0/24 . tcp . 443-448 }}}}", "web", "element",
         "missing", "refuses", shut=True),
    _nft("dispatch of the acl removed", f"delete element {T} acl-in {{{{ {{number-b}} }}}}", "b", "element", "missing", "admits"),
    Tamper("dispatch of groups changed", ("c=$(nft list map inet ringfence sg-in | grep -o '\\b{number-a} : goto [^ ,]*' | head -1 | "
           "awk '{{print $NF}}'); nft \"delete element inet ringfence sg-in {{ {number-b} }}; add element inet ringfence sg-in "
           "{{ {number-b} : goto $c }}\"",), "b", "element", "changed", "refuses"),
    _nft("any source added", f"add element {T} any-source {{{{ {{number-a}} . {{mac-a}} : goto own4-{{number-a}} }}}}", "a", "element",
         "extra", "admits"),
    _nft("any destination added", f"add element {T} any-destination {{{{ {{number-b}} }}}}", "b", "element", "extra", "admits"),
    _nft("owner removed", f"delete element {T} owner4 {{{{ 10.1.2.10 }}}}", "b", "element", "missing", ""),
    Tamper("owner changed", (f"nft 'delete element {T} owner4 {{{{ 10.1.2.10 }}}}; add element {T} owner4 "
           "{{ 10.1.2.10 : goto owned-{number-c} }}'",), "b", "element", "changed", "refuses"),
    _nft("service added", f"add element {T} listen4 {{{{ 169.254.169.254 . tcp . 22 }}}}", "v1", "element", "extra", "admits"),
    _nft("generation changed", f"add element {T} generation {{{{ 0x99 }}}}", "v1", "element", "extra", "unknown"),
    # paths
    Tamper("route deleted", ("ip route del 10.1.2.0/24 table {table-table}",), "table", "route", "missing",
        "refuses",  # a blackhole lies behind
    ),
    Tamper("route added", ("ip route add 10.1.2.10/32 dev {link-a} table {table-table}",), "table", "route", "extra", "admits"),
    Tamper("route that says it is the kernel's", ("ip route add 10.1.9.0/24 dev {link-a} proto kernel",), "v1", "route", "extra",
           "admits"),
    Tamper("local route", ("ip route add local 10.1.2.10/32 dev lo table local proto kernel",), "b", "route", "extra", "refuses"),
    Tamper("route of an interface deleted", ("ip route del 10.1.2.10/32",), "b", "route", "missing", "refuses"),
    Tamper("ipv6 route changed", ("ip -6 route replace ::/0 dev {link-a} table {table-table}",), "table", "route", "extra",
           "admits"),
    Tamper("policy rule added", ("ip rule add pref 5 fwmark 0x10000/0x10000 lookup {table-table}",), "table", "policy rule",
           "extra", "admits"),
    Tamper("policy rule by source", ("ip rule add pref 5 from 10.1.1.10 lookup 254",), "v1", "policy rule", "extra", "unknown"),
    Tamper("policy rule deleted", ("ip rule del pref {table-table}",), "table", "policy rule", "missing", "refuses"),
    Tamper("neighbour changed", ("ip neigh replace 10.1.2.10 lladdr 02:00:00:00:00:99 dev {link-b} nud permanent",), "b",
           "neighbour", "changed", ""),
    Tamper("proxy neighbour", ("ip neigh add proxy 10.1.2.10 dev {link-a}",), "b", "neighbour", "extra", ""),
    Tamper("address added", ("ip addr add 10.1.2.10/32 dev lo",), "v1", "address", "extra", "refuses"),
    Tamper("setting changed", ("sysctl -qw net.ipv4.conf.all.rp_filter=1",), "v1", "setting", "changed", ""),
    Tamper("a link in another's group", ("ip link set {link-a} group {number-b}",), "a", "link", "changed", "admits"),
    Tamper("loop down", ("ip link set l1 down",), "v1", "link", "changed", "", shut=True),
    # the gateway and the internet
    _nft("translation added", f"add element {T} private {{{{ 198.18.99.99 : 10.1.2.10 }}}}", "igw", "element", "extra", "admits",
         where="edge"),
    _nft("gateway opened", f"insert rule {T} from-internet accept", "igw", "rule", "extra", "admits", where="edge"),
    Tamper("gateway route", ("ip route add 10.9.0.0/16 dev v0",), "igw", "route", "extra", "", where="edge"),
    Tamper("gateway route of a public block", ("ip route add 198.51.100.0/24 dev v0",), "igw", "route", "extra", "refuses", where="edge"),
    Tamper("translation changed", (
        f"p=$(nft list map {T} public | grep -oE '[0-9.]+ : ' | head -1 | cut -d' ' -f1); nft \"delete element {T} public {{{{ $p }}}}; "
        f"add element {T} public {{{{ $p : 198.18.99.98 }}}}\"",), "igw", "element", "changed", "admits", where="edge"),
    _nft("private sources from outside", f"flush chain {T} unroutable-source", "igw", "rule", "missing", "admits", where="edge"),
    Tamper("gateway link deleted", ("ip link del v0",), "igw", "link", "missing", "refuses", where="edge"),
    Tamper("gateway link deleted in the VPC", ("ip link del g0",), "v1", "link", "missing", "refuses"),
    Tamper("gateway link to the internet deleted", ("ip link del i0",), "igw", "link", "missing", "refuses", where="edge"),
    Tamper("loop deleted", ("ip link del l0",), "v1", "link", "missing", "refuses"),
    # a gateway endpoint
    _nft("endpoint opened", f"insert rule {T} input accept", "vpce", "rule", "extra", "admits", where="endpoint"),
    Tamper("endpoint answers somebody else", ("ip route add 10.7.0.0/16 dev c0 via 169.254.251.1 onlink",), "vpce", "route", "extra",
           "admits", where="endpoint"),
    _nft("endpoint does not answer", f"flush chain {T} output", "vpce", "rule", "missing", "refuses", where="endpoint"),
    Tamper("way to the endpoint deleted", ("ip route del 198.18.0.64/30 table {table-table}",), "table", "route", "missing", "refuses"),
    _nft("internet's own rule", f"insert rule {T} spoof accept", "internet", "rule", "extra", "", where="internet"),
)  # fmt: skip
#: CI plays every third, `make faults` all of them
TAMPERS = EVERY if os.environ.get("TAMPERS") == "all" else EVERY[::3]


class Play:
    """The site, its data plane, and the watch."""

    def __init__(self) -> None:
        self.site = Site(Api(defaults=True, quotas={"elastic-ips": 50}))
        for step in ordered(None):
            self.site.api.ids = step.ids
            step.run(self.site)
        made = self.site.call(
            "CreateVpcEndpoint", VpcId=self.site.ids["v1"], ServiceName="com.amazonaws.us-east-1.s3",
            RouteTableIds=[self.site.ids["table"]],
        )  # fmt: skip
        self.site.ids["vpce"] = made["VpcEndpoint"]["VpcEndpointId"]
        self.site.api.settle()
        self.world = self.site.api.world
        self.network = Network(BareGuests())  # type: ignore[arg-type]
        self.events = list(self.network.bring(compile_world(self.world)))
        self.watch = Verifier(self.network, threading.Lock(), lambda _: None)
        ids = self.site.ids
        self.words = dict(ids)
        for eni in self.world.all(NETWORK_INTERFACE):
            name = next(name for name, id in ids.items() if id == eni.id)
            self.words |= {f"link-{name}": link(eni.number), f"number-{name}": str(eni.number), f"mac-{name}": eni.mac}
        for table in self.world.all(ROUTE_TABLE):
            for name, id in ids.items():
                if id == table.id:
                    self.words[f"table-{name}"] = str(1000 + table.number)
        self.places = {"v1": vpc_ns(ids["v1"]), "edge": edge_ns(ids["igw"]), "internet": INTERNET_NS,
                       "endpoint": endpoint_ns(ids["vpce"])}  # fmt: skip
        self.names = {id: name for name, id in ids.items()} | {"internet": "internet"}

    def do(self, where: str, command: str) -> None:
        script = command.format_map(self.words)
        done = subprocess.run(
            ["ip", "netns", "exec", self.places[where], "sh", "-c", script], capture_output=True, text=True, check=False
        )
        if done.returncode or done.stderr:
            raise RuntimeError(f"{shlex.quote(script)}: {done.stdout}{done.stderr}")

    def proof(self) -> list[dict[str, Any]]:
        """What the proof says of what is there now."""
        jobs = [(e.place.component, e.fragments, e.plugged, self.watch.read(e)) for e in self.watch._locations()]
        return [each.as_json() for each in run(jobs)[1]]

    def closed(self) -> list[str]:
        return [e.place.component for e in self.watch._locations() if repair.is_shut(self.watch.read(e))]

    def tell(self, found: list[Any]) -> list[dict[str, Any]]:
        return [{**each, "component": self.names.get(each["component"], each["component"])} for each in found]


def beside(site: Play) -> dict[str, Any]:
    """Full looks while rules change without a pause: a look finds nothing, and what somebody else changes it finds."""
    irs = []
    for verb in ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"):
        permission = {"IpProtocol": "udp", "FromPort": 7, "ToPort": 7, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}
        site.site.call(verb, GroupId=site.words["web"], IpPermissions=[permission])
        irs.append(compile_world(site.site.api.world))
    stop, made = threading.Event(), itertools.count()

    def change() -> None:
        for ir in itertools.cycle(irs):
            if stop.is_set() and ir is irs[1]:
                return
            with site.watch._lock:
                site.events += site.network.bring(ir)
            next(made)
            time.sleep(0.002)  # or a lock of Python's would be theirs again before anybody else gets it

    changing = threading.Thread(target=change)
    changing.start()
    try:
        healthy = [site.watch.look().as_json() for _ in range(3)]
        patient = [site.watch.look(patient=True).as_json() for _ in range(2)]
        site.do("v1", f"nft 'insert rule {T} forward accept'")
        found = site.watch.look().as_json()
    finally:
        stop.set()
        changing.join(60)
    return {
        "healthy": [each["findings"] + each["problems"] for each in (*healthy, *patient)], "repaired": found["repaired"],
        "found": site.tell(found["findings"]), "after": site.watch.look().as_json()["findings"], "changes": next(made),
        "endpoints": [each["there"] == [site.words["vpce"]] for each in site.events if each["event"] == "endpoints"],
    }  # fmt: skip


def closed_endpoint(site: Play) -> list[bool]:
    """Is a gateway endpoint's service heard: as it is, closed, and after a look that finds nothing wrong with it?"""
    (location,) = (each for each in site.watch._locations() if each.place.component == site.words["vpce"])

    def heard() -> bool:
        with linux.inside(location.namespace), socket.socket() as sock:
            sock.settimeout(0.5)
            try:
                sock.connect(("198.18.0.65", 443))
            except ConnectionRefusedError:  # nobody listens here
                return True
            except TimeoutError:
                return False
        return True

    out = [heard()]
    repair.shut(site.watch._seen[location.name].netlink, location.place)
    out.append(heard())
    site.watch.look()
    return [*out, heard()]


def play() -> dict[str, Any]:
    """Healthy; then each change: found by a quick look, proven, repaired, and the kernel as it was before."""
    site = Play()
    healthy = everything(site.world)
    out: dict[str, Any] = {
        "healthy": {"found": site.watch.look().as_json(), "proof": site.tell(site.proof()), "same": True}
    }
    for number, tamper in enumerate(TAMPERS, 1):
        site.watch.look()
        for command in tamper.commands:
            site.do(tamper.where, command)
        seen = site.watch.look(everything=tamper.what == "setting", mend=False).as_json()
        proof = site.tell(site.proof())
        mended = site.watch.look().as_json()
        after = everything(site.world) if number % 8 == 0 or number == len(TAMPERS) else healthy  # a second each
        out[tamper.name] = {
            "found": site.tell(seen["findings"]), "proof": proof, "repaired": mended["repaired"], "problems": mended["problems"],
            "closed meanwhile": bool(mended["closed_meanwhile"]), "closed": site.closed(), "again": site.watch.look().as_json()["findings"],
            "proof again": site.tell(site.proof()),
            "changed": [
                line for name in healthy if not name.startswith(("i-", "eni-")) for line in set(healthy[name]) ^ set(after[name])
            ],  # guests are told routes as time goes by
        }  # fmt: skip
    out |= {"beside": beside(site), "closed endpoint": closed_endpoint(site)}
    return out


def apart() -> dict[str, Any]:
    """`play` in namespaces of its own."""
    found: dict[str, Any] = isolated("tampering", timeout=800)
    return found


if __name__ == "__main__":
    print(json.dumps(play()))

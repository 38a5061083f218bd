"""An agent's programs at links, step by step: `python -m tests.kernel.telling PROGRAM_FD` prints what it saw as JSON.

Runs in a user, mount and network namespace of its own, where nobody may load programs, with the site of `any_path`.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringfence.dataplane import classifiers, linux, offloads, topology
from ringfence.dataplane.cuts import Teller, teller_of
from ringfence.dataplane.network import Network
from ringfence.dataplane.offloads import Cut
from ringfence.dataplane.plan import LOOP_IN, guest_ns, peer_links, vpc_ns
from ringfence.dataplane.verify.watch import Verifier
from ringfence.model.ids import SeededIds
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Counting, Interface, Ir
from tests.api.ops.harness import Api
from tests.builders import ANY, OPEN, group, host, ident, ingress, peering, route, subnet, table, vpc, world
from tests.kernel.any_path import BareGuests, Site, ordered


def all_covered(ir: Ir, counting: Counting | None) -> Ir:
    """All of its interfaces, or (None) none of them."""
    made = {key: replace(f, counted=counting) if isinstance(f, Interface) else f for key, f in ir.fragments.items()}
    return Ir(ir.generation, made)


class Play:
    """One agent after the other over the same site, all of whose interfaces are covered."""

    def __init__(self) -> None:
        site = Site(Api(defaults=True, quotas={"elastic-ips": 50}))
        for step in ordered(None):
            site.api.ids = SeededIds(int.from_bytes(step.name.encode(), "big") % 2**61)
            step.run(site)
        self.plain = compile_world(site.api.world)
        self.vpc = site.ids["v1"]
        self.covered = all_covered(self.plain, Counting(flags=False))
        self.network: Any = None

    def agent(self, teller: Teller | None) -> list[Any]:
        """The one before is gone, and its services with it."""
        for router in self.network._routers.values() if self.network else ():
            for service in router.services:
                service.close()
        self.network = Network(BareGuests(), teller=teller)  # type: ignore[arg-type]
        return self.bring(self.covered)

    def bring(self, ir: Ir) -> list[Any]:
        told = [event["told"] for event in self.network.bring(ir) if event["event"] == "segments"]
        return [told[-1], sorted(self.network.hold_to_packets())]

    @property
    def router(self) -> Any:
        return self.network._routers[self.vpc]

    def programs(self) -> list[list[bytes]]:
        with classifiers.links(self.router.netns) as links:
            return [links.attached(each.link) for each in self.router.cut.values()]

    def cuts(self, cut: Cut) -> bool:
        found = []
        for place, device in self.router.cut:
            with topology.opened(place) as netns:
                found.append(offloads.cuts_to_packets(netns, device, cut))
        return all(found)

    def own(self) -> list[str]:
        return sorted(each.eni for each in self.router.cut.values() if each.eni is not None)


def play(program: int) -> dict[str, Any]:
    site, teller = Play(), teller_of(program)
    said: dict[str, Any] = {"told": site.agent(teller), "covered": site.own()}
    told = site.programs() == [[teller.tag]] * len(site.router.cut)
    said["pieces"] = told and site.cuts(Cut.UNTOLD) and not site.cuts(Cut.ALL)
    with classifiers.links(site.router.netns) as links:
        links.detach(LOOP_IN)
    said["taken away"] = sorted(site.network.hold_to_packets())
    said["back"] = site.bring(site.covered)
    with classifiers.links(site.router.netns) as links:
        links.attach(LOOP_IN, program, "another", preference=7)
    said["foreign"] = sorted(site.network.hold_to_packets())
    said["alone"] = site.bring(site.covered)
    (loose,) = (where for where, each in site.router.cut.items() if each.eni == site.own()[0])
    with topology.opened(loose[0]) as netns:
        offloads.cut_to_packets(netns, loose[1], Cut.NOTHING)
    said["loose"] = sorted(site.network.hold_to_packets())
    topology.run_batch(vpc_ns(site.vpc), [f"link del {LOOP_IN}"])
    site.network.lay_again(site.vpc)
    said["laid"] = [site.programs() == [[teller.tag]] * len(site.router.cut) and site.cuts(Cut.UNTOLD)]
    said["laid"] += sorted(site.network.hold_to_packets())
    setting = Path("/proc/sys/net/ipv4/ip_forward_update_priority")
    with linux.inside(site.router.netns):
        setting.write_text("1")
    said["anew"] = site.agent(teller)
    with linux.inside(site.router.netns):
        said["priority"] = setting.read_text().strip()
    assert site.programs() == [[teller.tag]] * len(site.router.cut)
    said["without"] = site.agent(None)
    said["cut"] = site.cuts(Cut.ALL) and site.programs() == [[]] * len(site.router.cut)
    said["again"] = site.agent(teller)
    entrances = [each.link for each in site.router.cut.values()]
    site.bring(all_covered(site.plain, None))
    with classifiers.links(site.router.netns) as links:
        said["off"] = [each for each in entrances if links.attached(each)] + list(site.router.cut)
    return said


# ---------------------------------------------------------------------- two VPCs
AB, SIZE = ident("pcx", "ab"), 3 << 20


def peers(program: int) -> dict[str, Any]:
    """A stream from a guest of one VPC to one of another, both covered."""
    made = world(
        vpc("a", "10.0.0.0/16"), subnet("a", "10.0.0.0/24", vpc="a"), group("ga", *OPEN, vpc="a"),
        host("a", "10.0.0.10", subnet="a", vpc="a", groups=["ga"]), table("a", route("10.1.0.0/16", AB), vpc="a", number=1),
        vpc("b", "10.1.0.0/16"), subnet("b", "10.1.0.0/24", vpc="b"), group("gb", ingress(ANY, "tcp", 80), vpc="b"),
        host("b", "10.1.0.10", subnet="b", vpc="b", groups=["gb"]), table("b", route("10.0.0.0/16", AB), vpc="b", number=1),
        peering("ab", "a", "b"),
    )  # fmt: skip
    plain = compile_world(made)
    network = Network(BareGuests(), teller=teller_of(program))  # type: ignore[arg-type]
    events = [*network.bring(plain), *network.bring(all_covered(plain, Counting(flags=False)))]
    epochs = {name: network.filters()[ident("vpc", name)] for name in ("a", "b")}
    begun = {name: each.counting for name, each in epochs.items()}
    sent, ends = _stream("a", "b", "10.1.0.10")
    out: dict[str, Any] = {"told": [e["told"] for e in events if e["event"] == "segments"], "sent": sent, "counted": {}}
    for name, each in epochs.items():
        epoch = begun[name]
        assert epoch is not None
        each.seal()
        time.sleep(1)
        flows = [each for key, each in each.counted(epoch).flows.items() if key[4] == 80]
        out["counted"][name] = flows[0][:2]
        assert len(flows) == 1
    for end in ends:  # not before: what they say then is no part of it
        end.close()
    with topology.opened(vpc_ns(ident("vpc", "b"))) as netns, linux.inside(netns):
        lines = (line.split() for line in Path("/proc/thread-self/net/dev").read_text().splitlines())
        out["pieces"] = next(int(words[2]) for words in lines if words[0] == f"{peer_links(AB)[0]}:")
    report = Verifier(network, threading.Lock(), lambda _event: None).verify(prove=True, mend=False).as_json()
    return out | {"findings": report["findings"], "problems": report["problems"]}


def _stream(source: str, target: str, address: str) -> tuple[dict[str, int], tuple[socket.socket, ...]]:
    """What the sender's socket says it sent, and both ends, to be closed."""
    with topology.opened(guest_ns(ident("i", target))) as netns, linux.inside(netns):
        listener = socket.create_server((address, 80))
    with topology.opened(guest_ns(ident("i", source))) as netns, linux.inside(netns):
        topology.write_sysctls(netns, {"net/ipv4/tcp_sack": "0"})
        client = socket.create_connection((address, 80), timeout=20)
    server, _ = listener.accept()
    thread = threading.Thread(target=client.sendall, args=(bytes(SIZE),))
    thread.start()
    left = SIZE
    while left:
        left -= len(server.recv(1 << 20))
    thread.join()
    time.sleep(0.3)
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    (segments,), (octets,) = struct.unpack_from("=I", info, 136), struct.unpack_from("=Q", info, 200)
    listener.close()
    return {"segments": segments, "octets": octets}, (client, server)


if __name__ == "__main__":
    chosen = peers if sys.argv[2:] == ["peers"] else play
    print(json.dumps(chosen(int(sys.argv[1]))))

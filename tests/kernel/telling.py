"""An agent's programs at links, step by step: `python -m tests.kernel.telling PROGRAM_FD` prints what it saw as JSON.

Runs in a user, mount and network namespace of its own, where nobody may load programs, with the site of `any_path`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringfence.dataplane import classifiers, linux, offloads, topology
from ringfence.dataplane.cuts import Teller, teller_of
from ringfence.dataplane.network import Network
from ringfence.dataplane.offloads import Cut
from ringfence.dataplane.plan import LOOP_IN
from ringfence.model.ids import SeededIds
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Counting, Interface, Ir
from tests.api.ops.harness import Api
from tests.kernel.any_path import BareGuests, Site, ordered


class Play:
    """One agent after the other over the same site, all of whose interfaces are covered."""

    def __init__(self) -> None:
        site = Site(Api(defaults=True, quotas={"elastic-ips": 50}))
        for step in ordered(None):
            site.api.ids = SeededIds(int.from_bytes(step.name.encode(), "big") % 2**61)
            step.run(site)
        self.plain = compile_world(site.api.world)
        self.vpc = site.ids["v1"]
        self.covered = self.with_counting(Counting(flags=False))
        self.network: Any = None

    def with_counting(self, counting: Counting | None) -> Ir:
        made = {
            key: replace(f, counted=counting) if isinstance(f, Interface) else f
            for key, f in self.plain.fragments.items()
        }
        return Ir(self.plain.generation, made)

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
    site.bring(site.with_counting(None))
    with classifiers.links(site.router.netns) as links:
        said["off"] = [each for each in entrances if links.attached(each)] + list(site.router.cut)
    return said


if __name__ == "__main__":
    print(json.dumps(play(int(sys.argv[1]))))

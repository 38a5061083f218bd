"""Interfaces and their links: plugged in where they belong, given other addresses, taken away."""

from __future__ import annotations

import logging

from ringfence.dataplane import leases, topology
from ringfence.dataplane.plan import eni_ns, guest_ns, link, vpc_ns
from ringfence.dataplane.router import Machines, Router, device, quietly
from ringfence.dataplane.slices import VpcSlice
from ringfence.dataplane.topology import TopologyError, run_batch
from ringfence.policy.ir import Interface, Subnet

log = logging.getLogger("ringfence.network")


def _place(eni: Interface, machines: Machines) -> str | None:
    """The namespace an interface belongs in; None for one of an instance that does not run."""
    if eni.instance_id is None:
        return eni_ns(eni.eni_id)
    return guest_ns(eni.instance_id) if eni.instance_id in machines else None


def unplug(router: Router, part: VpcSlice, machines: Machines) -> None:
    """Links of interfaces that are gone or have moved."""
    wanted = {eni.eni_id: eni for eni in part.interfaces}
    there = topology.namespaces()
    for eni_id, (eni, place) in list(router.plugged.items()):
        now = wanted.get(eni_id)
        moved = now is None or _place(now, machines) != place or place not in there
        if moved or (now is not None and (now.number, now.mac) != (eni.number, eni.mac)):
            pull(router, eni)
            if place == eni_ns(eni_id) and place in there:
                topology.drop_namespace(place)


def pull(router: Router, eni: Interface) -> None:
    """Take an interface's link away, and what went with it."""
    quietly(vpc_ns(router.vpc_id), f"link del {link(eni.number)}")
    if router.dhcp6 is not None:
        router.dhcp6.leave(link(eni.number))
    router.forget_link(link(eni.number))
    router.filter.forget(eni.number)  # its number may be another's tomorrow: its connections end with it
    held = router.plugged.pop(eni.eni_id, None)
    if held is not None:
        router.cut.pop((held[1], device(eni)), None)


def pull_lost(router: Router) -> None:
    """A guest is root of its interface: it may have deleted its end, and with it ours."""
    there = topology.links(router.netns)
    for eni, _ in list(router.plugged.values()):
        if link(eni.number) not in there:
            pull(router, eni)


def plug(router: Router, part: VpcSlice, machines: Machines, *, first: bool) -> None:
    """Links of the interfaces that have a place; `first`: an earlier agent may have left some. TopologyError."""
    subnets = {subnet.subnet_id: subnet for subnet in part.subnets}
    there = _left_links(vpc_ns(router.vpc_id), part) if first else set()
    for eni in part.interfaces:
        place = _place(eni, machines)
        if place is None:
            continue
        known = link(eni.number) in there
        try:
            _plug_or_readdress(router, eni, subnets[eni.subnet_id], place, known=known)
        except TopologyError as problem:
            if eni.instance_id is None:
                raise
            _plug_anew(router, eni, subnets[eni.subnet_id], place, problem)


def _left_links(name: str, part: VpcSlice) -> set[str]:
    """Links an earlier agent left; those of interfaces that are no more are taken away, so that numbers are free."""
    there = {item["ifname"] for item in topology.listed(name, "link", "show")}
    wanted = {link(eni.number) for eni in part.interfaces}
    for stale in sorted(each for each in there - wanted if each[0] == "e" and each[1:].isdigit()):
        quietly(name, f"link del {stale}")
    return there & wanted


def _plug_or_readdress(router: Router, eni: Interface, subnet: Subnet, place: str, *, known: bool) -> None:
    held, name = router.plugged.get(eni.eni_id), vpc_ns(router.vpc_id)
    if held is None:
        _plug_in(name, eni, subnet, place, known=known)
        leases.listen6(router, eni)
    elif (held[0].ipv4, held[0].ipv6) != (eni.ipv4, eni.ipv6):
        _readdress(name, held[0], eni, subnet, place)
    router.plugged[eni.eni_id] = (eni, place)


def _plug_anew(router: Router, eni: Interface, subnet: Subnet, place: str, problem: TopologyError) -> None:
    """The guest deleted, renamed or occupied its end: give it a new link. If it bars that too, it has none."""
    log.warning("%s of %s is plugged in anew: %s", eni.eni_id, eni.instance_id, problem)
    pull(router, eni)
    try:
        _plug_or_readdress(router, eni, subnet, place, known=False)
    except TopologyError as again:
        log.warning("%s stays unplugged, by its guest's doing: %s", eni.eni_id, again)
        pull(router, eni)


def _plug_in(name: str, eni: Interface, subnet: Subnet, place: str, *, known: bool) -> None:
    name_there = device(eni)
    if place not in topology.namespaces():
        topology.make_namespace(place)
    ends = topology.listed(place, "link", "show") if known else []
    in_place = any((end["ifname"], end["address"]) == (name_there, eni.mac) for end in ends)
    if known and not in_place:  # the old link led to a place that is gone, or was another interface's
        quietly(name, f"link del {link(eni.number)}")
    router, guest = topology.plug(eni, subnet, place, name_there)
    run_batch(name, router[1:] if known and in_place else router)
    run_batch(place, guest)


def _readdress(name: str, old: Interface, new: Interface, subnet: Subnet, place: str) -> None:
    name_there = device(new)
    gone = [*(set(old.ipv4) - set(new.ipv4)), *(set(old.ipv6) - set(new.ipv6))]
    run_batch(name, [*topology.neighbours(new), *(f"neigh del {a} dev {link(new.number)}" for a in gone)])
    width = {4: subnet.ipv4.prefixlen if subnet.ipv4 else 32, 6: 128}
    run_batch(place, topology.guest_side(new, subnet, name_there))
    for address in gone:
        quietly(place, f"addr del {address}/{width[address.version]} dev {name_there}")

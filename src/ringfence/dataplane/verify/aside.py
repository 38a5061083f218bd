"""Does each place hold what it should? Asked beside the changes, in a process of its own (`apart`).

The process knows what the agent wanted at the instant it was forked; what the kernel held is the same instant's if its tables have
seen no transaction until they were read. So changes need not wait, and neither the time that it takes to understand and compare what was
read nor the memory it takes is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ringfence.dataplane import linux
from ringfence.dataplane.nftables.netlink import Netlink
from ringfence.dataplane.verify import repair, snapshot
from ringfence.dataplane.verify.compare import compare
from ringfence.dataplane.verify.snapshot import Dump
from ringfence.dataplane.verify.wanted import Location

LIMIT_SECONDS = 120.0
DIFFERS = -1

#: name of the place → how often its tables had been changed when it was whole; `DIFFERS`; not there: changed while it was read
Told = dict[str, int]


def look(locations: Iterable[Location], read: Callable[[], None]) -> Told:
    """To be run apart. `read` is called when the kernel has been read."""
    told: Told = {}
    dumps: list[tuple[Location, Dump]] = []
    for each in locations:
        try:
            found = _dump(each)
        except OSError:  # told by who reads it next
            told[each.name] = DIFFERS
        else:
            if found is not None:
                dumps.append((each, found))
    read()
    for each, dump in dumps:
        found_here = snapshot.parsed(dump)
        whole = not compare(each.whole(), found_here) and not repair.is_shut(found_here)
        told[each.name] = dump.generation if whole else DIFFERS
    return told


def _dump(location: Location) -> Dump | None:
    with linux.inside(location.namespace):
        netlink = Netlink()
    try:
        return snapshot.dump(netlink, location.namespace, tuple(location.place.settings))
    finally:
        netlink.close()

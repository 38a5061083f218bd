"""What verification costs: a quick look, a full comparison and a proof, by number of interfaces.

    python -m bench.verify [INTERFACES …]        (as root or in `unshare -Urn`; default 100 1000)

One VPC, four subnets, two network ACLs (one long), 100 groups of 50 rules of which one names another group, every interface in two
groups. CPU milliseconds of this process; tables are the kernel's, routes and neighbours are the kernel's on one link. The base of the
comparison is `nft -j list ruleset` (CPU of that process), which is only read, not compared.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from tests.dataplane.verify.simulated import paths_of, place_of
from tests.kernel.testbed import Namespace
from tests.kernel.worlds import LOCAL_ROUTES, VPC, acl, allow, entry, group, members, table

from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.netlink import Netlink
from ringfence.dataplane.verify import snapshot
from ringfence.dataplane.verify.compare import compare
from ringfence.dataplane.verify.prove import prove
from ringfence.policy.ir import Fragment, Interface, Subnet, Timeouts, Vpc

GROUPS, RULES, SUBNETS = 100, 50, 4


def fragments(interfaces: int) -> list[Fragment]:
    """The VPC."""
    long = [entry(n, "deny" if n % 3 else "allow", "tcp", f"{n}-{n + 99}", f"192.168.{n}.0/24") for n in range(1, 20)]
    acls = [acl("acl-0"), acl("acl-1", [*long, entry(100, "allow")], [entry(100, "allow")])]
    subnets = [
        Subnet(subnet_id=f"subnet-{n}", vpc_id=VPC, ipv4=IPv4Network(f"10.0.{64 * n}.0/18"), ipv6=(), acl_id=f"acl-{n % 2}",
               table_id="rtb-1")
        for n in range(SUBNETS)
    ]  # fmt: skip
    groups = [
        group(f"sg-{g:04}", [
            *(allow("tcp", str(1000 + r), f"10.{g}.{r}.0/24") for r in range(RULES - 2)), allow("tcp", "443", f"sg-{(g + 1) % GROUPS:04}"),
        ])
        for g in range(GROUPS)
    ]  # fmt: skip
    enis = [
        Interface(
            eni_id=f"eni-{n:04}", vpc_id=VPC, subnet_id=f"subnet-{n % SUBNETS}", number=n + 1,
            mac=f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}",
            ipv4=(IPv4Address(f"10.0.{64 * (n % SUBNETS) + n // SUBNETS // 200}.{10 + n // SUBNETS % 200}"),), ipv6=(),
            groups=tuple(sorted({f"sg-{n % GROUPS:04}", f"sg-{(n + 7) % GROUPS:04}"})), source_dest_check=True,
            timeouts=Timeouts(tcp_established=432000, udp_stream=180, udp=30),
        )
        for n in range(interfaces)
    ]  # fmt: skip
    own = Vpc(vpc_id=VPC, region="us-east-1", ipv4=(IPv4Network("10.0.0.0/16"),), ipv6=(), dns_support=True,
              dns_hostnames=True, domain="ec2.internal")  # fmt: skip
    return members(own, table(routes=LOCAL_ROUTES[:1]), *acls, *subnets, *groups, *enis)


def cpu(action: Callable[[], Any], times: int = 5) -> tuple[Any, float]:
    """Its result, and the least CPU milliseconds of several runs."""
    best, result = float("inf"), None
    for _ in range(times):
        start = time.process_time()
        result = action()
        best = min(best, (time.process_time() - start) * 1000)
    return result, round(best, 2)


def measure(interfaces: int) -> dict[str, object]:
    """One row."""
    parts = fragments(interfaces)
    place = Namespace()
    rules = Filter(place.fd, VpcTables)
    rules.converge(parts)
    netlink = place.run(Netlink)
    wanted = place_of(parts, rules.tables())
    enis = [each for each in parts if isinstance(each, Interface)]
    place.ip("link add d0 type veth peer name d1", "link set d1 up", "link set d0 up", *(f"route add {e.ipv4[0]}/32 dev d0" for e in enis),
             *(f"neigh add {e.ipv4[0]} lladdr {e.mac} dev d0 nud permanent" for e in enis))  # fmt: skip
    _, count = cpu(lambda: snapshot.generation_of(netlink))
    found_paths, quick = cpu(lambda: snapshot.paths(place.fd))
    found, read = cpu(lambda: snapshot.read(netlink, place.fd))
    found.paths = paths_of(wanted)
    differences, compared = cpu(lambda: compare(wanted, found))
    proof, proven = cpu(lambda: prove(VPC, parts, [e.eni_id for e in enis], found), 1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    place.command("nft", "-j", "list", "ruleset")
    nft = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) * 1000
    rules.close()
    place.close()
    if [each for each in differences if each.what != "setting"] or proof.findings:
        raise AssertionError(f"{differences[:2]} {proof.findings[:2]}")
    return {
        "interfaces": interfaces, "rules": GROUPS * RULES, "transaction_count_ms": count,
        "paths_read_ms": quick, "paths": len(found_paths.routes) + len(found_paths.neighbours),
        "tables_read_ms": read, "compare_ms": compared, "proof_ms": proven, "gates": proof.gates,
        "nft_list_ms": round(nft, 1), "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def main() -> int:
    """Prints one JSON line for each size."""
    for size in [int(each) for each in sys.argv[1:]] or [100, 1000]:
        print(json.dumps(measure(size)), flush=True)
    return 0


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    sys.exit(main())

"""Rule sets in nft's language, kept for review. Rewrite them after an intended change:

python -m tests.dataplane.nftables.goldens
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ringfence.dataplane.nftables.assembly import EdgeTables, InternetTables, Tables, VpcTables
from ringfence.dataplane.nftables.objects import text_of
from ringfence.policy.ir import Fragment, Timeouts
from tests.kernel.worlds import A, acl, allow, edge, eni, entry, group, pair, subnet, table, to_eni

DIRECTORY = Path(__file__).parent / "golden"


def _rules() -> list[Fragment]:
    """Every shape of rule, a middlebox, a long and a short ACL, a gateway route table."""
    long = [
        entry(n, "deny" if n % 3 else "allow", "tcp", f"{n * 10}-{n * 10 + 15}", f"10.{n % 3}.0.0/16")
        for n in range(1, 14)
    ]
    long += [entry(50, "deny", "icmp", icmp=(8, None)), entry(100, "allow"), entry(101, "allow", peer="::/0")]
    short = [
        entry(90, "deny", "tcp", "3389"),
        entry(95, "allow", "icmpv6", icmp=(128, 0), peer="::/0"),
        entry(100, "allow"),
    ]
    rules = [
        allow("tcp", "80"), allow("tcp", "443", "::/0"), allow("tcp", "22", "203.0.113.0/24"),
        allow("tcp", "20-30", "203.0.113.7/32"), allow("udp", "53", "10.0.0.0/8"), allow("icmp", icmp=(3, 4), peer="10.0.0.0/8"),
        allow(50, peer="198.51.100.0/24"), allow("tcp", "5432", "sg-a"), allow("all", peer="sg-b"),
    ]  # fmt: skip
    return pair(
        rules, acl("acl-long", long, short), subnet("subnet-2", 2, "acl-long"),
        eni(A, 1, 1, 10, ["sg-a", "sg-b"], check=False, timeouts=Timeouts(tcp_established=350, udp_stream=60, udp=30)),
        table("rtb-edge", 7, (to_eni("10.0.2.0/24", A),)), edge({"54.10.0.1": "10.0.1.10"}, "rtb-edge"),
        group("sg-b", rules, [allow("tcp", "0-65535"), allow("udp", "53", "sg-a")]),
    )  # fmt: skip


GOLDENS: dict[str, tuple[Callable[[], Tables], Callable[[], list[Fragment]]]] = {
    "empty-vpc": (VpcTables, list),
    "two-interfaces": (VpcTables, lambda: pair([allow("tcp", "80", "10.0.0.0/8")])),
    "rules": (VpcTables, _rules),
    "empty-edge": (EdgeTables, list),
    "edge": (EdgeTables, _rules),
    "internet": (InternetTables, list),
}


def rendered(name: str) -> str:
    """The text of a golden's tables now."""
    make, fragments = GOLDENS[name]
    tables = make()
    tables.change(fragments(), ())
    return "".join(text_of(each) for each in tables.desired.tables())


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for each in GOLDENS:
        (DIRECTORY / f"{each}.nft").write_text(rendered(each))

"""The rendered rule sets are the reviewed ones, nft accepts them, and what we send by netlink is what they say."""

from __future__ import annotations

import re

import pytest

from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import EdgeTables, InternetTables, VpcTables
from tests.dataplane.nftables.goldens import DIRECTORY, GOLDENS, rendered
from tests.kernel.testbed import Namespace


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str) -> None:
    """Intended? Then: python -m tests.dataplane.nftables.goldens"""
    assert rendered(name) == (DIRECTORY / f"{name}.nft").read_text()


def without_generation(listing: str) -> str:
    """Connection marks without the generation, which says how many changes there were (docs/adr/0006)."""
    lines = [re.sub("0x[0-9a-f]{8}", _undated, line) if "ct mark" in line else line for line in listing.splitlines()]
    return re.sub(r"(set generation \{[^}]*elements = \{)[^}]*\}", r"\1 any }", "\n".join(lines))


def _undated(found: re.Match[str]) -> str:
    return f"0x{int(found[0], 16) & 0x3F:02x}"


def _normal(listing: str) -> list[str]:
    """A listing as comparable lines: elements one per line, sorted; without key types, which text spells differently for
    two maps; without the rules that only netlink can express."""
    listing = without_generation(listing)
    listing = re.sub(r"(\b\d+) \. (0x[0-9a-f]{8})", lambda m: f"{m[1]} . {int(m[2], 16)}", listing)  # a zone
    flat = re.sub(r"elements = \{([^}]*)\}", lambda m: "\n".join(sorted(p.strip() for p in m[1].split(","))), listing)
    lines = [line.strip() for line in flat.splitlines()]
    typed = ("type ifname : verdict", "type 0 : verdict", "type devgroup . mark", "typeof ")
    return sorted(
        line
        for line in lines
        if line and not line.startswith(typed) and "@th,160,32" not in line and "@th,192,32" not in line
    )


@pytest.mark.netns
@pytest.mark.parametrize("name", GOLDENS)
def test_netlink_says_the_same_as_the_text(name: str) -> None:
    """Load the golden with nft in one namespace, the same fragments by netlink in another: nft lists the same."""
    make, fragments = GOLDENS[name]
    assert make in (VpcTables, EdgeTables, InternetTables)
    text, wire = Namespace(), Namespace()
    try:
        path = str(DIRECTORY / f"{name}.nft")
        text.command("nft", "-c", "-f", path)
        text.command("nft", "-f", path)
        filter_ = Filter(wire.fd, make)  # type: ignore[arg-type]
        filter_.converge(fragments())
        filter_.close()
        assert _normal(wire.command("nft", "list", "ruleset")) == _normal(text.command("nft", "list", "ruleset"))
    finally:
        text.close()
        wire.close()

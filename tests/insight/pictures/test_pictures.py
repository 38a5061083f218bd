"""Pictures: well-formed, self-contained, safe with hostile names, and saying what the analysis says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli.main import main
from ringfence.insight.imports import snapshot
from ringfence.insight.pictures.graph import INTERNET, Graph, graph
from ringfence.insight.pictures.html import html
from ringfence.insight.pictures.svg import svg
from ringfence.insight.reach.report import Reporter
from ringfence.model.world import World
from tests import builders as b
from tests.differential.compare import Run
from tests.insight.imports.recording import imported, site

HOSTILE = '<script>alert("x")</script>&'


def tiers(count: int = 1, name: str = "web") -> World:
    """An internet-facing tier, and a database behind it, `count` interfaces each."""
    public = b.table("public", *b.to_gateway(), subnets=["a"])
    hosts = [b.host(f"w{n}", f"10.0.0.{10 + n}", groups=["web"], public=f"198.18.0.{n + 1}") for n in range(count)]
    hosts += [b.host(f"d{n}", f"10.0.1.{10 + n}", subnet="b", groups=["db"]) for n in range(count)]
    web = replace(b.group("web", b.ingress(b.ANY, "tcp", 443), *b.OPEN), name=name)
    return b.world(
        b.vpc(tags=(("Name", name),)), b.subnet("a", "10.0.0.0/24", tags=(("Name", name),)), b.subnet("b", "10.0.1.0/24"), b.gateway(),
        public, web, b.group("db", b.ingress("web", "tcp", 5432)), hosts,
    )  # fmt: skip


def arrows(of: Graph) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.destination, edge.what) for edge in of.edges}


def test_what_it_shows() -> None:
    found = graph(tiers(3))
    assert [(t.letter, t.name, len(t.interfaces), t.inner, t.out) for t in found.tiers] == [
        ("A", "web", 3, "tcp 443", "everything"), ("B", "db", 3, "", ""),
    ]  # fmt: skip
    assert arrows(found) == {(INTERNET, "A", "tcp 443"), ("A", "B", "tcp 5432")}
    places = found.sites[0].places
    assert [(p.cidr, p.public, p.tiers) for p in places] == [
        ("10.0.0.0/24", True, {"A": 3}),
        ("10.0.1.0/24", False, {"B": 3}),
    ]


def test_svg_is_well_formed_and_holds_everything() -> None:
    root = xml.fromstring(svg(graph(tiers(3))))
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"A  web", "B  db", "internet", "tcp 443", "tcp 5432", "3 interfaces"} <= set(texts)
    width, height = (float(root.get(name) or 0) for name in ("width", "height"))
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(box.get("x") or 0) + float(box.get("width") or 0) <= width
        assert float(box.get("y") or 0) + float(box.get("height") or 0) <= height


def test_a_hundred_interfaces_are_two_boxes() -> None:
    """Readable however many there are: tiers are drawn, not interfaces."""
    few, many = (svg(graph(tiers(count))) for count in (2, 50))
    assert few.count("<rect") == many.count("<rect")


def test_labels_do_not_lie_on_each_other() -> None:
    rows: list[Any] = [b.host(f"h{n}", f"10.0.0.{10 + n}", groups=[f"g{n}"]) for n in range(6)]
    for n in range(6):
        rules = [b.ingress(f"g{m}", "tcp", 1000 + 10 * n + m) for m in range(6) if m != n]
        rows.append(b.group(f"g{n}", *rules, *b.OPEN))
    shown = xml.fromstring(svg(graph(b.world(b.vpc(), b.subnet("a", "10.0.0.0/24"), rows))))
    tags = [e for e in shown.iter("{http://www.w3.org/2000/svg}rect") if e.get("class") == "tag"]
    boxes = [tuple(float(e.get(k) or 0) for k in ("x", "y", "width", "height")) for e in tags]
    assert len(boxes) == 30
    for n, (x, y, w, h) in enumerate(boxes):
        for ox, oy, ow, oh in boxes[n + 1 :]:
            assert x + w <= ox + 1 or ox + ow <= x + 1 or y + h <= oy + 1 or oy + oh <= y + 1


@pytest.mark.parametrize("shape", ["svg", "html"])
def test_hostile_names_stay_text(shape: str) -> None:
    found = graph(tiers(name=HOSTILE))
    shown = svg(found) if shape == "svg" else html(found, HOSTILE)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown


def test_html_needs_nothing_else() -> None:
    """No other file, no network: and the page itself forbids both."""
    page = html(graph(tiers()), "x")
    links = {link for link in re.findall(r'(?:src|href|xmlns)="([^"]*)"|url\(([^)]*)\)', page) for link in link if link}
    assert links == {"http://www.w3.org/2000/svg", "#arrow"}
    assert "default-src 'none'" in page


def test_what_is_not_known_is_dashed() -> None:
    documents = site()
    documents["interfaces"]["NetworkInterfaces"][1].update(Groups=[], InterfaceType="nat_gateway", Attachment=None)
    found = graph(imported(documents).world)
    assert any(edge.unknown and edge.what.startswith("unknown: eni-") for edge in found.edges)
    assert "stroke-dasharray" in svg(found)
    documents = site()
    documents["tables"]["RouteTables"][0]["Routes"][1] = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
    found = graph(imported(documents).world)
    assert found.sites[0].gateways == ["igw-00000000000000001", "nat-1"]
    assert found.tiers[0].out == "unknown: nat-1"


@pytest.mark.parametrize("seed", range(6))
def test_it_says_what_the_analysis_says(seed: int) -> None:
    """Random VPCs: two tiers are joined by an arrow, or a tier talks to itself, exactly when `reach` has a row for them."""
    world = Run(seed).api.world
    found = graph(world)
    letters = {tier.key: tier.letter for tier in found.tiers}
    rows = Reporter().reach(world, {})["rows"]
    expected = {(letters[r["vpc"], tuple(r["from_groups"])], letters[r["vpc"], tuple(r["to_groups"])]) for r in rows}
    drawn = {(e.source, e.destination) for e in found.edges if e.source != INTERNET}
    drawn |= {(e.destination, e.source) for e in found.edges if e.both}
    drawn |= {(tier.letter, tier.letter) for tier in found.tiers if tier.inner}
    assert drawn == expected
    exposed = {r["interface"] for r in Reporter().exposure(world, {})["rows"]}
    tiers_exposed = {t.letter for t in found.tiers if exposed & set(t.interfaces)}
    assert {e.destination for e in found.edges if e.source == INTERNET} == tiers_exposed


def test_empty_networks() -> None:
    assert xml.fromstring(svg(graph(b.world(b.vpc())))) is not None
    assert xml.fromstring(svg(graph(World()))) is not None


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.json"
    file.write_text(snapshot.text(tiers()))
    assert main(["map", "--from", str(file), "-o", str(tmp_path / "m.html")]) == 0
    assert (tmp_path / "m.html").read_text().startswith("<!doctype html>")
    assert main(["map", "--from", str(file)]) == 0
    assert capsys.readouterr().out.startswith("<svg")
    assert main(["map", "--from", str(file), "-o", str(tmp_path / "m.png")]) == 2
    assert main(["map", "--from", str(file), "--vpc", "vpc-1"]) == 2
    assert main(["map", "--from", str(file), "-o", str(tmp_path / "no/m.svg")]) == 2

"""The picture as SVG: places on top (VPC, zones, subnets with the tiers in them), tiers and what they may say below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from ringfence.insight.pictures.graph import INTERNET, Edge, Graph, Place, Site, Tier

#: fills of tiers; the letter tells them apart where colours do not
_COLOURS = (
    "#cfe8ff", "#ffe2c4", "#d6f5d6", "#ffd6de", "#e6dbff", "#fff3b8", "#c9f2ef", "#f3d9ef", "#e2e6ea", "#dff0c2",
)  # fmt: skip
_MARGIN, _GAP, _LINE, _CHAR = 24, 16, 16, 6.4
_SUBNET, _NODE, _LAYER = 250, 250, 230
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#1b2733} .h{font-weight:600;font-size:14px} .s{fill:#5b6b7b;font-size:11px}
.vpc{fill:#fbfcfe;stroke:#4b6a88;stroke-width:1.5} .zone{fill:none;stroke:#b9c6d3;stroke-dasharray:4 4}
.subnet{fill:#fff;stroke:#9fb2c4} .public{stroke:#2f8f4e;stroke-width:1.8} .gate{fill:#eef3f8;stroke:#4b6a88}
.node{stroke:#5b6b7b} .edge{fill:none;stroke:#54708c;stroke-width:1.4} .unknown{stroke-dasharray:5 4;stroke:#a36a00}
.tag{fill:#fff;fill-opacity:.92} .world{stroke:#b3261e} .dim{opacity:.12}
"""


@dataclass(slots=True)
class _Canvas:
    """Elements, and how far they reach."""

    parts: list[str] = field(default_factory=list)
    width: float = 0
    height: float = 0

    def _reach(self, x: float, y: float) -> None:
        self.width, self.height = max(self.width, x), max(self.height, y)

    def box(self, x: float, y: float, w: float, h: float, style: str, fill: str = "", title: str = "") -> None:
        inside = f"<title>{escape(title)}</title>" if title else ""
        paint = f' style="fill:{fill}"' if fill else ""
        self.parts.append(
            f'<rect class="{style}"{paint} x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h:.0f}" rx="6">{inside}</rect>'
        )
        self._reach(x + w, y + h)

    def text(self, x: float, y: float, text: str, style: str = "", limit: float = 0, anchor: str = "start") -> None:
        shown = _cut(text, limit)
        inside = escape(shown) + (f"<title>{escape(text)}</title>" if shown != text else "")
        self.parts.append(f'<text class="{style}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{inside}</text>')
        self._reach(x + (len(shown) * _CHAR if anchor == "start" else 0), y + 4)


def _cut(text: str, limit: float) -> str:
    room = int(limit / _CHAR) if limit else len(text)
    return text if len(text) <= room else text[: max(1, room - 1)] + "…"


def svg(of: Graph) -> str:
    """A whole SVG document."""
    canvas = _Canvas()
    colours = {tier.letter: _COLOURS[n % len(_COLOURS)] for n, tier in enumerate(of.tiers)}
    y: float = _MARGIN
    for site in of.sites:
        y = _site(canvas, site, y, colours) + _GAP * 2
    if of.tiers:
        canvas.text(_MARGIN, y + 6, "Who may say what to whom", "h")
        _Flow(canvas, of, y + 24, colours).draw()
    w, h = canvas.width + _MARGIN, canvas.height + _MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}" role="img">'
    marker = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0,0 L8,4 L0,8 z" fill="#54708c"/></marker></defs>'
    )
    title = "<title>Network topology and allowed conversations</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", marker, *canvas.parts, "</svg>"]) + "\n"


# ---------------------------------------------------------------------- places
def _site(canvas: _Canvas, site: Site, top: float, colours: dict[str, str]) -> float:
    """One VPC; the lower end of it."""
    zones = list(dict.fromkeys(place.zone for place in site.places)) or [""]
    width = len(zones) * (_SUBNET + _GAP) + _GAP
    bodies = {zone: [place for place in site.places if place.zone == zone] for zone in zones}
    depth = max((sum(_height(p) + _GAP for p in places) for places in bodies.values()), default=0)
    gates = top + 46
    start = gates + (_LINE + 18 if site.gateways else 0)
    height = start - top + 26 + depth
    name = f"{site.name}  " if site.name else ""
    canvas.box(_MARGIN, top, max(width, 420), height, "vpc")
    canvas.text(_MARGIN + _GAP, top + 24, f"{name}{site.id}  {', '.join(site.cidrs)}", "h", max(width, 420) - 2 * _GAP)
    x: float = _MARGIN + _GAP
    for gateway in site.gateways:
        w = max(80.0, len(gateway) * (_CHAR + 0.8) + 16)
        canvas.box(x, gates - 8, w, _LINE + 8, "gate")
        canvas.text(x + 8, gates + 8, gateway)
        x += w + _GAP
    for n, zone in enumerate(zones):
        left = _MARGIN + _GAP + n * (_SUBNET + _GAP)
        canvas.text(left, start + 12, zone or "no zone", "s")
        y = start + 20
        for place in bodies[zone]:
            _subnet(canvas, place, left, y, colours)
            y += _height(place) + _GAP
    return top + height


def _height(place: Place) -> float:
    return 44 + max(1, len(place.tiers)) * (_LINE + 4)


def _subnet(canvas: _Canvas, place: Place, x: float, y: float, colours: dict[str, str]) -> None:
    kind = "public" if place.public else "private"
    title = f"{place.id} {place.cidr}, {kind}, network ACL {place.acl}"
    canvas.box(x, y, _SUBNET, _height(place) - 2, "subnet public" if place.public else "subnet", title=title)
    canvas.text(x + 8, y + 16, place.name or place.id, "", _SUBNET - 16)
    canvas.text(x + 8, y + 31, f"{place.cidr} · {kind}", "s", _SUBNET - 16)
    row = y + 38
    for letter, count in place.tiers.items():
        canvas.box(x + 8, row, 34, _LINE, "node", colours[letter])
        canvas.text(x + 25, row + 12, letter, "", anchor="middle")
        canvas.text(x + 50, row + 12, f"{count} interface{'s' if count != 1 else ''}")
        row += _LINE + 4
    if not place.tiers:
        canvas.text(x + 8, row + 12, "empty", "s")


# ---------------------------------------------------------------------- who says what
@dataclass(slots=True)
class _Box:
    """A node where it stands."""

    x: float
    y: float
    w: float
    h: float

    @property
    def middle(self) -> float:
        return self.y + self.h / 2


class _Flow:
    """Tiers in layers by their distance from the internet; arrows with what is allowed on them."""

    def __init__(self, canvas: _Canvas, of: Graph, top: float, colours: dict[str, str]) -> None:
        self.canvas, self.of, self.top, self.colours = canvas, of, top, colours
        self.labels: list[tuple[float, float, float, float]] = []
        self.boxes: dict[str, _Box] = {}

    def draw(self) -> None:
        """Arrows first, so that boxes lie on them; labels last."""
        self._arrange()
        marks = [self._arrow(edge) for edge in self.of.edges]
        for tier in self.of.tiers:
            self._node(tier)
        if INTERNET in self.boxes:
            box = self.boxes[INTERNET]
            self.canvas.box(box.x, box.y, box.w, box.h, "node world", "#fdeceb")
            self.canvas.text(box.x + box.w / 2, box.middle + 4, "internet", "h", anchor="middle")
        for edge, x, y in marks:
            self._label(edge, x, y)

    def _arrange(self) -> None:
        layers = list(_layers(self.of))
        lines = {tier.letter: _lines(tier) for tier in self.of.tiers}
        room = 30 + _LAYER
        tallest = 0.0
        for n, layer in enumerate(layers):
            y = self.top
            for letter in layer:
                h = 40.0 if letter == INTERNET else 30 + len(lines[letter]) * _LINE
                w = 110 if letter == INTERNET else _NODE
                self.boxes[letter] = _Box(_MARGIN + n * (_NODE + room), y, w, h)
                y += h + max(28, 10 * self._degree(letter))
            tallest = max(tallest, y)
        for layer in layers:  # each in the middle of the height
            last = self.boxes[layer[-1]]
            down = (tallest - (last.y + last.h)) / 2
            for letter in layer:
                self.boxes[letter].y += down / 2

    def _degree(self, letter: str) -> int:
        return min(6, sum(letter in (e.source, e.destination) for e in self.of.edges))

    def _node(self, tier: Tier) -> None:
        box = self.boxes[tier.letter]
        title = "\n".join([", ".join(tier.key[1]), *tier.interfaces])
        self.canvas.parts.append(f'<g id={quoteattr("tier-" + tier.letter)} class="tier">')
        self.canvas.box(box.x, box.y, box.w, box.h, "node", self.colours[tier.letter], title)
        self.canvas.text(box.x + 10, box.y + 20, f"{tier.letter}  {tier.name}", "h", box.w - 30)
        for n, line in enumerate(_lines(tier)):
            self.canvas.text(box.x + 10, box.y + 36 + n * _LINE, line, "s", box.w - 16)
        self.canvas.parts.append("</g>")

    # ------------------------------------------------------------------ arrows
    def _arrow(self, edge: Edge) -> tuple[Edge, float, float]:
        """Draw it; the edge with the middle of its path."""
        a, b = self.boxes[edge.source], self.boxes[edge.destination]
        if b.x > a.x:
            x1, x2, bend = a.x + a.w, b.x, (b.x - a.x - a.w) / 2
            c1, c2 = x1 + bend, x2 - bend
        elif b.x < a.x:
            x1, x2, bend = a.x, b.x + b.w, (a.x - b.x - b.w) / 2
            c1, c2 = x1 - bend, x2 + bend
        else:
            x1 = x2 = a.x + a.w
            c1 = c2 = x1 + 40 + abs(b.y - a.y) / 5
        y1, y2 = a.middle + (6 if b.x < a.x else -4), b.middle + (6 if b.x < a.x else -4)
        marks = 'marker-end="url(#arrow)"' + (' marker-start="url(#arrow)"' if edge.both else "")
        style = "edge unknown" if edge.unknown else "edge world" if edge.source == INTERNET else "edge"
        name = f"{edge.source} to {edge.destination}: {edge.what}"
        ends = f"data-a={quoteattr(edge.source)} data-b={quoteattr(edge.destination)}"
        self.canvas.parts.append(
            f'<path class="{style}" {ends} {marks} d="M{x1:.0f},{y1:.0f} C{c1:.0f},{y1:.0f} {c2:.0f},{y2:.0f} {x2:.0f},{y2:.0f}">'
            f"<title>{escape(name)}</title></path>"
        )
        return edge, (x1 + 3 * c1 + 3 * c2 + x2) / 8, (y1 + y2) / 2

    def _label(self, edge: Edge, x: float, y: float) -> None:
        """Beside the others, not over them."""
        shown = _cut(edge.what, _LAYER - 20)
        w, h = len(shown) * _CHAR + 8, 15.0
        left = x - w / 2
        for step in range(60):
            at = y + (step + 1) // 2 * h * (1 if step % 2 else -1)
            if not any(
                left < ox + ow and ox < left + w and at < oy + oh and oy < at + h for ox, oy, ow, oh in self.labels
            ):
                break
        self.labels.append((left, at, w, h))
        ends = f"data-a={quoteattr(edge.source)} data-b={quoteattr(edge.destination)}"
        self.canvas.parts.append(f"<g {ends}>")
        self.canvas.box(left, at - 11, w, h, "tag", title=edge.what)
        self.canvas.text(x, at, shown, "s", anchor="middle")
        self.canvas.parts.append("</g>")


def _lines(tier: Tier) -> list[str]:
    count = len(tier.interfaces)
    out = [f"{count} interface{'s' if count != 1 else ''}"]
    if tier.inner:
        out.append(f"among themselves: {tier.inner}")
    if tier.out:
        out.append(f"to the internet: {tier.out}")
    return out


def _layers(of: Graph) -> Iterator[Sequence[str]]:
    """The internet, what it reaches, what that reaches … and at last what nothing reaches."""
    left = [tier.letter for tier in of.tiers]
    inbound = [edge for edge in of.edges if edge.source == INTERNET]
    layer = [INTERNET] if inbound else left[:1]
    if not inbound:
        left = left[1:]
    while layer:
        yield layer
        following = [letter for letter in left if any(_leads(edge, layer, letter) for edge in of.edges)]
        left = [letter for letter in left if letter not in following]
        layer = following
    for n in range(0, len(left), 8):
        yield left[n : n + 8]


def _leads(edge: Edge, layer: Iterable[str], letter: str) -> bool:
    return (edge.source in layer and edge.destination == letter) or (
        edge.both and edge.destination in layer and edge.source == letter
    )

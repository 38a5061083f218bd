"""The picture as one HTML page: the SVG, and a table of the same arrows. No other file and no network is needed."""

from __future__ import annotations

from html import escape

from ringfence.insight.pictures.graph import Graph, view
from ringfence.insight.pictures.svg import svg

_STYLE = """
body{font:14px system-ui,sans-serif;color:#1b2733;margin:24px} table{border-collapse:collapse;margin-top:16px}
th,td{border:1px solid #d5dde5;padding:4px 8px;text-align:left;vertical-align:top} th{background:#eef3f8}
.picture{overflow:auto;border:1px solid #d5dde5} input{font:inherit;padding:4px 8px;width:24em} .tier{cursor:pointer}
"""
#: a click on a tier shows its arrows alone; the field filters the table
_SCRIPT = """
let picked=null;
document.querySelectorAll('.tier').forEach(t=>t.addEventListener('click',()=>{
  const me=t.id.slice(5); picked=picked===me?null:me;
  document.querySelectorAll('[data-a]').forEach(e=>
    e.classList.toggle('dim',picked!==null&&e.dataset.a!==picked&&e.dataset.b!==picked));
}));
document.getElementById('filter').addEventListener('input',e=>{
  const wanted=e.target.value.toLowerCase();
  document.querySelectorAll('tbody tr').forEach(r=>{r.hidden=!r.textContent.toLowerCase().includes(wanted)});
});
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def html(of: Graph, title: str) -> str:
    """The page."""
    rows = []
    for edge in view(of)["edges"]:
        arrow = "↔" if edge["both"] else "→"
        cells = (edge["from"], arrow, edge["to"], edge["what"])
        rows.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<div class="picture">{svg(of)}</div>',
        '<p><input id="filter" placeholder="filter" aria-label="filter"></p>',
        "<table><thead><tr><th>from</th><th></th><th>to</th><th>may say</th></tr></thead><tbody>",
        *rows,
        f"</tbody></table><script>{_SCRIPT}</script></body></html>",
    ]) + "\n"  # fmt: skip

"""Bad input: whatever stands in a document, an import is refused or says what it could not read; nothing falls over."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from ringfence.insight.hygiene.report import examine
from ringfence.insight.imports import snapshot
from ringfence.insight.imports.load import Network, from_documents
from ringfence.insight.imports.notes import ImportProblem
from ringfence.insight.pictures.graph import graph
from ringfence.insight.pictures.svg import svg
from ringfence.insight.reach.report import Reporter
from ringfence.insight.reach.trace import trace_request
from ringfence.model.kinds import NETWORK_INTERFACE
from tests.insight.imports.recording import site
from tests.insight.imports.test_terraform import base, state

JUNK: tuple[Any, ...] = (
    None, 0, -1, 70000, 1.5, True, "", "x", "10.0.0.0/8", "::/0", "10.0.0.300", [], [None], {}, {"x": 1}, [[]], "sg-1", "-1",
)  # fmt: skip
KINDS = {
    "recorded output": lambda: {f"{name}.json": document for name, document in site().items()},
    "plan": lambda: {"plan.json": base().document},
    "state": lambda: {"terraform.tfstate": state()},
    "snapshot": lambda: {"s.json": json.loads(snapshot.text(from_documents(site().items()).world))},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def damaged(documents: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """One to three values are replaced, taken away, or moved to another name."""
    found = copy.deepcopy(documents)
    for _ in range(chance.randint(1, 3)):
        *above, last = chance.choice(list(places(found)) or [("",)])
        holder: Any = found
        try:
            for key in above:
                holder = holder[key]
            if chance.random() < 0.2:
                del holder[last]
            elif chance.random() < 0.1 and isinstance(holder, dict):
                holder["Surprise"] = holder.pop(last)
            else:
                holder[last] = copy.deepcopy(chance.choice(JUNK))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier blow took the place away
    return found


def everything(network: Network) -> None:
    """All that is asked of a network."""
    world = network.world
    assert json.dumps(network.notes.view())
    reporter = Reporter()
    for answer in (
        reporter.reach(world, {}),
        reporter.exposure(world, {}),
        reporter.exposure(world, {"outbound": True}),
    ):
        assert "rows" in answer
    enis = [eni.id for eni in world.all(NETWORK_INTERFACE)]
    for source in (*enis[:2], "internet:203.0.113.9"):
        for destination in (*enis[:2], "8.8.8.8"):
            answer = trace_request(world, {"source": source, "destination": destination, "port": 80})
            assert "outcome" in answer or answer["status"] == 2
    assert svg(graph(world))
    assert examine(world).proof == ()
    assert snapshot.text(from_documents([("s", json.loads(snapshot.text(world)))]).world) == snapshot.text(world)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named_or_refused(kind: str, seed: int) -> None:
    documents = damaged(KINDS[kind](), random.Random(seed))
    try:
        network = from_documents(documents.items())
    except ImportProblem:
        return
    everything(network)

"""A Terraform plan (`terraform show -json`), a state in the same form, or a raw state file: its resources, and what refers to what.

A plan does not know ids of what is yet to be made: a reference in the configuration says which resource is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ringfence.insight.imports.draft import made_id
from ringfence.insight.imports.notes import ImportProblem, Notes

#: beginnings of references that lead to no resource: constants, and which of several is meant
_INDEXES = ("var.", "count.", "each.key", "path.", "terraform.")


@dataclass(slots=True)
class Thing:
    """One resource instance. `id`: the cloud's, or made from the address. `unknown`: attributes known only after apply."""

    address: str
    module: tuple[str, ...]  # module addresses, outermost first: ("module.net", "module.net.module.inner[0]")
    type: str
    name: str
    index: Any
    values: dict[str, Any]
    unknown: dict[str, Any]
    expressions: dict[str, Any]
    id: str = ""
    made: bool = False  # to be made: the cloud has no id yet
    declared: bool = True  # is its configuration told?

    @property
    def list_id(self) -> str:
        """Of an endpoint, the prefix list of its service: told, or made up of the service's name, the same for all of one."""
        told = self.values.get("prefix_list_id")
        return (
            told if isinstance(told, str) and told else made_id("pl-", self.values.get("service_name") or self.address)
        )


@dataclass(slots=True)
class Things:
    """All resources, and where expressions lead."""

    notes: Notes
    source: str
    planned: bool
    assume_locals: bool = False
    all: list[Thing] = field(default_factory=list)
    configuration: dict[str, Any] = field(default_factory=dict)  # the root module's
    _by_name: dict[tuple[str, str], list[Thing]] = field(default_factory=dict)

    def add(self, thing: Thing, prefix: str) -> None:
        """`prefix` of ids made for this type. Documents that are read together may use one address for different resources: what
        is yet to be made of the second gets another id, and the name `SOURCE:ADDRESS`."""
        given, names = thing.values.get("id"), self.notes.names
        thing.made = not (isinstance(given, str) and given)
        thing.id = made_id(prefix, thing.address) if thing.made else str(given)
        if thing.made and thing.address in names:
            thing.id = made_id(prefix, self.source, thing.address)
        self.all.append(thing)
        self._by_name.setdefault((_plain(thing.module), f"{thing.type}.{thing.name}"), []).append(thing)
        if names.setdefault(thing.address, thing.id) != thing.id:
            names[f"{self.source}:{thing.address}"] = thing.id

    def rename(self, thing: Thing, id: str) -> None:
        """Its id turned out to be another."""
        names = self.notes.names
        names[thing.address if names.get(thing.address) == thing.id else f"{self.source}:{thing.address}"] = (
            thing.id
        ) = id

    def has(self, address: str) -> bool:
        """Is there a resource of that address?"""
        return any(thing.address == address for thing in self.all)

    def of_type(self, *types: str) -> list[Thing]:
        """Resources of some types."""
        return [thing for thing in self.all if thing.type in types]

    # ------------------------------------------------------------------ references
    def one(
        self, thing: Thing, name: str, *, among: dict[str, Any] | None = None, inner: dict[str, Any] | None = None
    ) -> str | None:
        """The value of an attribute that names a resource: as given, or the id that its expression leads to."""
        found = self.several(thing, name, among=among, inner=inner)
        return found[0] if len(found) == 1 else None

    def several(
        self, thing: Thing, name: str, *, among: dict[str, Any] | None = None, inner: dict[str, Any] | None = None
    ) -> list[str]:
        """The values of an attribute that names resources. `among`, `inner`: values and expressions of a nested block."""
        value = (thing.values if among is None else among).get(name)
        given = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str) and v]
        if value is not None and not (isinstance(value, list) and None in value):
            return given
        expression = (thing.expressions if inner is None else inner).get(name)
        led = (
            []
            if not isinstance(expression, dict)
            else self._led(thing, expression) or self._only(thing, expression, name)
        )
        return list(dict.fromkeys([*given, *led]))

    def lost(
        self, thing: Thing, name: str, *, among: dict[str, Any] | None = None, inner: dict[str, Any] | None = None,
        unknown: dict[str, Any] | None = None,
    ) -> bool:  # fmt: skip
        """Is an attribute known after apply, and names something that `several` does not find? Not when nothing sets it: what the
        cloud then does is known."""
        held = (thing.unknown if unknown is None else unknown).get(name)
        if not held or (isinstance(held, list) and not any(held)):
            return False
        expression = (thing.expressions if inner is None else inner).get(name)
        if not isinstance(expression, dict):
            return not thing.declared
        found = self.several(thing, name, among=among, inner=inner)
        value = (thing.values if among is None else among).get(name)
        references = [str(reference) for reference in _references(expression)]
        if self._dark(thing.module, references, 0) or (isinstance(value, list) and len(found) < len(value)):
            return True
        return not found and any(not reference.startswith(_INDEXES) for reference in references)

    def _dark(self, module: tuple[str, ...], references: list[str], depth: int) -> bool:
        """Does one of the references lead to what a plan does not tell: local values, outputs and data that are not in it?"""
        for text in references if depth < 16 else []:
            parts = text.split(".")
            if parts[0] == "var" and module:
                given = _references(self._call(module).get("expressions", {}).get(parts[1]))
                dark = self._dark(module[:-1], [str(each) for each in given], depth + 1)
            else:
                leads = parts[0] == "local" or (parts[0] in ("module", "data") and len(parts) >= 3)
                dark = leads and not list(self._told(module, text))
            if dark:
                return True
        return False

    def _told(self, module: tuple[str, ...], reference: str) -> Iterator[str]:
        for where, name, _ in self._resources(module, [reference], 0):
            yield from (thing.id for thing in self._by_name.get((_plain(where), name), []))

    def _led(self, thing: Thing, expression: dict[str, Any]) -> list[str]:
        found: list[str] = []
        for module, reference, index in self._resources(thing.module, expression.get("references") or [], 0):
            found += self._ids(thing, module, reference, index)
        return found

    def _only(self, thing: Thing, expression: dict[str, Any], name: str) -> list[str]:
        """The only VPC of a module, for a local value that names one: taken for granted, if the user says so."""
        local = any(str(reference).startswith("local.") for reference in expression.get("references") or [])
        if not (self.assume_locals and local and name == "vpc_id"):
            return []
        found = [t.id for t in self.of_type("aws_vpc", "aws_default_vpc") if t.module == thing.module]
        if len(found) == 1:
            self.notes.assumed[thing.address] = "its VPC, a local value, is the only one of its module"
        return found if len(found) == 1 else []

    def _resources(
        self, module: tuple[str, ...], references: list[Any], depth: int
    ) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
        """(module, `type.name.attribute`, index) of the resources that references lead to, through variables and outputs."""
        texts = [r for r in references if isinstance(r, str)]
        longest = [r for r in texts if not any(other != r and other.startswith((r + ".", r + "[")) for other in texts)]
        for text in longest if depth < 16 else []:
            parts = text.split(".")
            if parts[0] == "var" and module:
                call = self._call(module)
                yield from self._resources(
                    module[:-1], _references(call.get("expressions", {}).get(parts[1])), depth + 1
                )
            elif parts[0] == "module" and len(parts) >= 3:
                name = parts[1].split("[")[0]
                inner = self.module(module).get("module_calls", {}).get(name, {}).get("module", {})
                output = inner.get("outputs", {}).get(parts[2].split("[")[0], {})
                here = f"{module[-1]}." if module else ""
                yield from self._resources(
                    (*module, f"{here}module.{parts[1]}"), _references(output.get("expression")), depth + 1
                )
            elif (
                parts[0] not in ("var", "local", "each", "count", "path", "terraform", "self", "data", "module")
                and len(parts) >= 2
            ):
                index = re.search(r"\[(.*?)\]", parts[1] if "[" in parts[1] else "")
                yield module, f"{parts[0]}.{parts[1].split('[')[0]}", index.group(1).strip('"') if index else None
            elif parts[0] == "data" and len(parts) >= 3:
                yield module, f"data.{parts[1]}.{parts[2].split('[')[0]}", None

    def _ids(self, thing: Thing, module: tuple[str, ...], reference: str, index: str | None) -> list[str]:
        there = [t for t in self._by_name.get((_plain(module), reference), []) if _near(thing.module, t.module)]
        if index is not None and not index.startswith(("each.", "count.")):
            there = [t for t in there if str(t.index) == index]
        elif len(there) > 1 and any(t.index == thing.index for t in there):
            there = [t for t in there if t.index == thing.index]
        return [t.id for t in there]

    def module(self, module: tuple[str, ...]) -> dict[str, Any]:
        """The configuration of a module."""
        found = self.configuration
        for step in module:
            name = step.rsplit("module.", 1)[-1].split("[")[0]
            found = found.get("module_calls", {}).get(name, {}).get("module", {})
        return found

    def _call(self, module: tuple[str, ...]) -> dict[str, Any]:
        name = module[-1].rsplit("module.", 1)[-1].split("[")[0]
        found: dict[str, Any] = self.module(module[:-1]).get("module_calls", {}).get(name, {})
        return found


def _references(expression: Any) -> list[Any]:
    """All references in an expression, and in those inside it."""
    if isinstance(expression, list):
        return [reference for each in expression for reference in _references(each)]
    if not isinstance(expression, dict):
        return []
    inside = [value for name, value in expression.items() if name != "references"]
    return [*(expression.get("references") or []), *_references(inside)]


def _plain(module: tuple[str, ...]) -> str:
    """A module's address without indexes."""
    return re.sub(r"\[.*?\]", "", module[-1]) if module else ""


def _near(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Of several copies of a module, a reference stays within its own."""
    return all(
        a == b for a, b in zip(mine, theirs, strict=False) if re.sub(r"\[.*?\]", "", a) == re.sub(r"\[.*?\]", "", b)
    )


# ---------------------------------------------------------------------- documents
def things_of(
    document: dict[str, Any], notes: Notes, source: str, prefixes: dict[str, str], *, assume_locals: bool = False
) -> Things:
    """The resources of a document. ImportProblem when it is none of the three forms. Data sources are named, not made."""
    if "planned_values" in document or "values" in document:
        return _shown(document, Things(notes, source, "planned_values" in document, assume_locals), prefixes)
    if isinstance(document.get("resources"), list) and document.get("version") == 4:
        return _raw(document, Things(notes, source, planned=False), prefixes)
    raise ImportProblem(
        f"Terraform state of version {document.get('version')!r} is not understood: `terraform show -json` writes one that is"
    )


def _shown(document: dict[str, Any], things: Things, prefixes: dict[str, str]) -> Things:
    things.configuration = document.get("configuration", {}).get("root_module", {}) or {}
    unknown = {
        change.get("address"): (change.get("change") or {}).get("after_unknown")
        for change in document.get("resource_changes", [])
        if isinstance(change, dict)
    }
    root = (document.get("planned_values" if things.planned else "values") or {}).get("root_module") or {}
    prior = ((document.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    for module, resource in (
        *_resources(root, ()),
        *(each for each in _resources(prior, ()) if each[1].get("mode") == "data"),
    ):
        _shown_thing(things, module, resource, unknown, prefixes)
    return things


def _shown_thing(
    things: Things, module: tuple[str, ...], resource: dict[str, Any], unknown: dict[Any, Any], prefixes: dict[str, str]
) -> None:
    address, type, name = str(resource.get("address")), str(resource.get("type")), str(resource.get("name"))
    data = resource.get("mode") == "data"
    held = unknown.get(address)
    wanted = type, name, resource.get("mode")
    declared = (
        r for r in things.module(module).get("resources", []) if (r.get("type"), r.get("name"), r.get("mode")) == wanted
    )
    found: dict[str, Any] = next(declared, {})
    expressions: dict[str, Any] = found.get("expressions") or {}
    thing = Thing(
        address, module, f"data.{type}" if data else type, name, resource.get("index"), resource.get("values") or {},
        held if isinstance(held, dict) else {}, expressions, declared=bool(found),
    )  # fmt: skip
    if not (data and things.has(address)):
        things.add(thing, prefixes.get(type, "x-"))


def _resources(module: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for resource in module.get("resources", []):
        if isinstance(resource, dict):
            yield path, resource
    for child in module.get("child_modules", []):
        if isinstance(child, dict):
            yield from _resources(child, (*path, str(child.get("address"))))


def _raw(document: dict[str, Any], things: Things, prefixes: dict[str, str]) -> Things:
    for resource in document["resources"]:
        if not isinstance(resource, dict):
            raise ImportProblem("a resource of the state is no object")
        type, name, where = str(resource.get("type")), str(resource.get("name")), resource.get("module")
        data = resource.get("mode") == "data"
        for instance in resource.get("instances", []):
            if instance.get("deposed"):
                continue
            index = instance.get("index_key")
            shown = "" if index is None else f"[{index}]" if isinstance(index, int) else f'["{index}"]'
            address = f"{where + '.' if where else ''}{'data.' if data else ''}{type}.{name}{shown}"
            things.add(
                Thing(address, (str(where),) if where else (), f"data.{type}" if data else type, name, index,
                      instance.get("attributes") or {}, {}, {}),
                prefixes.get(type, "x-"),
            )  # fmt: skip
    return things

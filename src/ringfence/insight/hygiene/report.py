"""All findings of a network, and the proof that what may be removed changes nothing: the engine compares before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ringfence.insight.compare.changes import Entry, compare
from ringfence.insight.hygiene import acls, groups
from ringfence.insight.hygiene.findings import REMOVABLE, Finding, Problem
from ringfence.model.kinds import NETWORK_ACL, SECURITY_GROUP
from ringfence.model.nouns.security_group import SecurityGroup
from ringfence.model.world import Change, World, delete, put


@dataclass(frozen=True, slots=True)
class Report:
    """`proof`: what would change if all that is removable were removed: nothing, or the findings are wrong."""

    findings: tuple[Finding, ...]
    proof: tuple[Entry, ...]

    @property
    def removable(self) -> list[Finding]:
        """What may go at once."""
        return [finding for finding in self.findings if finding.problem in REMOVABLE]

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "findings": [{**finding.view(), "removable": finding.problem in REMOVABLE} for finding in self.findings],
            "removable": len(self.removable),
            "equivalent": not self.proof,
        }


def examine(world: World, *, effects: bool = False) -> Report:
    """Everything that is found. `effects`: also rules whose removal changes no conversation as the network is now."""
    found = [*groups.of_world(world), *acls.of_world(world)]
    gone = {(f.component, f.element) for f in found}
    if effects:
        found += without_effect(world, gone)
    after = without(world, [finding for finding in found if finding.problem in REMOVABLE])
    return Report(tuple(found), tuple(compare(world, after)))


def without(world: World, findings: list[Finding]) -> World:
    """The network after these elements were removed."""
    rules: dict[str, set[str]] = {}
    entries: dict[str, set[str]] = {}
    change = Change()
    for finding in findings:
        if finding.problem is Problem.UNUSED_GROUP:
            change += delete(SECURITY_GROUP, finding.component)
        elif finding.problem is Problem.UNUSED_ACL:
            change += delete(NETWORK_ACL, finding.component)
        else:
            held = entries if finding.component.startswith("acl-") else rules
            held.setdefault(finding.component, set()).add(finding.element)
    removed = {step.id for step in change.steps}  # type: ignore[union-attr]
    for id, elements in rules.items():
        if id not in removed:
            group = world.get(SECURITY_GROUP, id)
            change += put(SECURITY_GROUP, replace(group, rules=tuple(r for r in group.rules if r.id not in elements)))
    for id, elements in entries.items():
        if id not in removed:
            acl = world.get(NETWORK_ACL, id)
            kept = tuple(e for e in acl.entries if f"{'egress' if e.egress else 'ingress'} {e.number}" not in elements)
            change += put(NETWORK_ACL, replace(acl, entries=kept))
    return world.apply(change) if change else world


def without_effect(world: World, gone: set[tuple[str, str]]) -> Iterator[Finding]:
    """CMP-06: rules that no conversation needs: elsewhere something refuses what they let through, or nobody is there."""
    for group in world.all(SECURITY_GROUP):
        for rule in group.rules:
            if (
                (group.id, rule.id) not in gone
                and (group.id, group.id) not in gone
                and not _needed(world, group, rule.id)
            ):
                way = "egress" if rule.egress else "ingress"
                fix = f"aws ec2 revoke-security-group-{way} --group-id {group.id} --security-group-rule-ids {rule.id}"
                why = "removing it changes no conversation as the network is now"
                yield Finding(problem=Problem.NO_EFFECT, component=group.id, element=rule.id, why=why, fix=fix)


def _needed(world: World, group: SecurityGroup, rule_id: str) -> bool:
    kept = tuple(rule for rule in group.rules if rule.id != rule_id)
    return bool(compare(world, world.apply(put(SECURITY_GROUP, replace(group, rules=kept)))))

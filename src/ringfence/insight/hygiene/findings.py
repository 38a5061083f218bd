"""What hygiene finds, and says about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from ringfence.insight.reach.trace import describe_packet
from ringfence.policy.packet import Packet


class Problem(enum.StrEnum):
    """Kinds of findings; the value names them for programs."""

    SHADOWED = "shadowed"  # one other rule lets through all that it does
    REDUNDANT = "redundant"  # several others do together
    STALE = "stale"  # it names a group that is gone (SG-82)
    NEVER_MATCHES = "never-matches"  # no packet of this network can match it
    WORLD_IN_PIECES = "world-in-pieces"  # several blocks together are the whole internet
    UNUSED_GROUP = "unused-group"  # no interface carries it, no rule names it
    NEVER_DECIDES = "never-decides"  # a network ACL entry that earlier ones leave nothing for
    REDUNDANT_ENTRY = "redundant-entry"  # a network ACL entry that decides as the ones after it would
    UNUSED_ACL = "unused-acl"  # no subnet uses it
    BLACKHOLE = "blackhole"  # a route whose target is gone
    NO_EFFECT = "no-effect"  # removing it changes no conversation, as the network is now


#: findings whose element may be removed, all at once, without changing what any packet does
REMOVABLE = frozenset(Problem) - {Problem.WORLD_IN_PIECES, Problem.BLACKHOLE, Problem.NO_EFFECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding. `element`: a rule's id, an entry's number, a group's or an ACL's id; `component`: where it is.

    `by`: the rules or entries that do its work; `example`: a packet that shows it; `fix`: the command that removes it.
    """

    problem: Problem
    component: str
    element: str
    why: str
    by: tuple[str, ...] = ()
    example: Packet | None = None
    fix: str = ""

    def view(self) -> dict[str, Any]:
        """As JSON."""
        out: dict[str, Any] = {
            "problem": self.problem.value, "component": self.component, "element": self.element, "why": self.why,
            "by": list(self.by), "fix": self.fix,
        }  # fmt: skip
        if self.example is not None:
            out["example"] = describe_packet(self.example)
        return out

"""One analysis of Reachability Analyzer: the answer to a path's question in one World.

Beyond AWS: IPv6, every protocol, the answer's way for all of them, and every element that blocks instead of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringfence.insight.analyzer import views
from ringfence.insight.analyzer.apart import apart
from ringfence.insight.analyzer.beyond import aimed
from ringfence.insight.analyzer.explain import Explainer
from ringfence.insight.analyzer.question import NoEnd, Question, question_of
from ringfence.insight.analyzer.search import Found, Searched, search
from ringfence.insight.analyzer.views import View
from ringfence.insight.analyzer.ways import Way
from ringfence.insight.reach.engine import Engine
from ringfence.model.nouns.network_insights import NetworkInsightsPath
from ringfence.model.world import World

_FIELDS = {
    "source_address": "SOURCE_ADDRESS", "source_ports": "SOURCE_PORT_RANGE",
    "destination_address": "DESTINATION_ADDRESS", "destination_ports": "DESTINATION_PORT_RANGE",
}  # fmt: skip
#: how many other paths hints are taken from
_HINTED = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What the analysis may use: accounts whose components may be crossed, and components (by ARN) that must, or must not.

    `organization`: other accounts may be named as a hint.
    """

    accounts: frozenset[str]
    organization: bool = False
    through: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()


@dataclass(slots=True)
class Result:
    """`found`: None when an element that is not modelled leaves it open. `reply`: members of `NetworkInsightsAnalysis`."""

    found: bool | None
    reply: View = field(default_factory=dict)
    message: str | None = None


def analyse(world: World, engine: Engine, path: NetworkInsightsPath, limits: Limits) -> Result:
    """The answer."""
    try:
        question = question_of(world, path, limits.accounts)
    except NoEnd as problem:
        shown = {"ExplanationCode": problem.code, "Component": views.component(world, problem.component)}
        return Result(False, {"Explanations": [shown | ({"State": problem.state} if problem.state else {})]})
    return _Analysis(world, aimed(engine, question), path, question, limits).result()


class _Analysis:
    def __init__(
        self, world: World, engine: Engine, path: NetworkInsightsPath, question: Question, limits: Limits
    ) -> None:
        self.world, self.engine, self.path, self.question, self.limits = world, engine, path, question, limits

    def result(self) -> Result:
        """Found, not found with every reason, or unknown."""
        searched = search(self.engine, self.question, most=1, admit=self._admit)
        if searched.found:
            return self._found(searched)
        if searched.unknown is not None:
            shown: View = {
                "ExplanationCode": "UNSUPPORTED_COMPONENT",
                "Component": views.component(self.world, searched.unknown.component),
            }
            text = f"{searched.unknown.component} cannot be analysed: {searched.unknown.why}"
            return Result(None, {"Explanations": [shown]}, text)
        return Result(False, self._refused(searched))

    # ------------------------------------------------------------------ what may be crossed
    def _components(self, found: Found) -> set[str]:
        """The ids of everything on both ways."""
        way = Way(self.world, self.engine, self.question, Searched(), found, exact=True)
        shown = [part for view in (*way.there(), *way.back()) for name, part in view.items() if name in _PARTS]
        return {part["Id"] for part in shown}

    def _admit(self, found: Found) -> bool:
        ids = self._components(found)
        return not self._foreign(ids) and not self._missing(ids) and not self._avoided(ids)

    def _foreign(self, ids: Iterable[str]) -> list[str]:
        """Components of accounts that the analysis may not look into."""
        owners = {id: views.owners_of(self.world, id) for id in ids}
        return sorted(id for id, known in owners.items() if known and known.isdisjoint(self.limits.accounts))

    def _missing(self, ids: Iterable[str]) -> list[str]:
        return [arn for arn in self.limits.through if _id_of(arn) not in ids]

    def _avoided(self, ids: Iterable[str]) -> list[str]:
        return [arn for arn in self.limits.avoid if _id_of(arn) in ids]

    # ------------------------------------------------------------------ found
    def _found(self, searched: Searched) -> Result:
        found = searched.found[0]
        way = Way(self.world, self.engine, self.question, searched, found)
        reply: View = {"ForwardPathComponents": way.there(), "ReturnPathComponents": way.back()}
        hints = self._hints(found)
        if hints:
            reply["AlternatePathHints"] = hints
        return Result(True, reply)

    def _hints(self, found: Found) -> list[View]:
        """Components of other paths that this one does not use."""
        others = search(self.engine, self.question, most=_HINTED, admit=self._admit).found
        used = self._components(found)
        seen = dict.fromkeys(id for other in others for id in sorted(self._components(other)) if id not in used)
        shown = (views.component(self.world, id) for id in seen if id.startswith(_HINTABLE))
        return [{"ComponentId": part["Id"], "ComponentArn": part["Arn"]} for part in shown if "Arn" in part]

    # ------------------------------------------------------------------ not found
    def _refused(self, searched: Searched) -> View:
        explanations: list[View] = []
        reply: View = {}
        if searched.elsewhere is not None:
            explanations += self._excluded(searched.elsewhere, reply)
        elif searched.blocked is not None:
            told = Explainer(self.world, self.engine, self.question, searched.blocked).explanations()
            explanations += self._discreet(told)
        else:
            explanations += self._discreet(list(apart(self.world, self.engine, self.question)))
        explanations += self._filters()
        reply["Explanations"] = explanations or [{"ExplanationCode": "NO_PATH"}]
        return reply

    def _excluded(self, found: Found, reply: View) -> list[View]:
        """There is a path, but not one that this analysis may use."""
        ids = self._components(found)
        out: list[View] = []
        foreign = self._foreign(ids)
        if foreign:
            out.append({"ExplanationCode": "NO_POSSIBLE_DESTINATION"})
            if self.limits.organization:
                reply["SuggestedAccounts"] = sorted({views.owner_of(self.world, id) or "" for id in foreign})
        for code, arns in (
            ("COMPONENT_FILTER_RESTRICTION", self._missing(ids)),
            ("COMPONENT_FILTER_RESTRICTION_REMOVED_COMPONENT", self._avoided(ids)),
        ):
            out += [{"ExplanationCode": code, "Component": {"Id": _id_of(arn), "Arn": arn}} for arn in arns]
        return out

    def _discreet(self, told: list[View]) -> list[View]:
        """Nothing is said of components in accounts that the analysis may not look into."""
        out = [view for view in told if not self._foreign(_ids(view))]
        return out if len(out) == len(told) else [*out, {"ExplanationCode": "NO_POSSIBLE_DESTINATION"}]

    def _filters(self) -> list[View]:
        """FILTER_AT_…: filters each of which, left out alone, would let a path be found."""
        out = []
        for end, given in (
            ("at_source", self.path.filtered_at_source),
            ("at_destination", self.path.filtered_at_destination),
        ):
            for name, code in _FIELDS.items():
                if not given or getattr(getattr(self.question, end), name) is None:
                    continue
                relaxed = search(self.engine, self.question.without(end, name), most=1, admit=self._admit)
                if relaxed.found:
                    out.append({"ExplanationCode": f"FILTER_{end.upper()}_{code}"})
        return out


_PARTS = frozenset({"Component", "Subnet", "Vpc", "AttachedTo"})
_HINTABLE = ("eni-", "igw-", "i-", "pcx-")


def _ids(view: View) -> list[str]:
    """The ids of the components that an explanation names."""
    parts = [part for value in view.values() for part in (value if isinstance(value, list) else [value])]
    return [part["Id"] for part in parts if isinstance(part, dict) and "Id" in part]


def _id_of(arn: str) -> str:
    return arn.rpartition("/")[2]

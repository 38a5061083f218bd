"""Specification against evaluator, question by question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ringfence.identity import evaluate, spec
from ringfence.identity.question import Effect, Policies, Question
from tests.differential.iam_generator import case

Decide = Callable[[Question, Policies], Effect]


@dataclass
class Tally:
    """What a run saw; `differences`: number of the case, its theme, what the two said."""

    effects: Counter[Effect] = field(default_factory=Counter)
    differences: list[tuple[int, str, Effect, Effect]] = field(default_factory=list)


def decided(question: Question, policies: Policies) -> Effect:
    """The evaluator's answer."""
    return evaluate.decide(question, policies).effect


def run(seeds: Iterable[int], *, decide: Decide = decided, stop_at: int | None = None) -> Tally:
    """Ask these cases of both; `stop_at`: give up after so many differences."""
    tally = Tally()
    for seed in seeds:
        asked = case(seed)
        said = spec.answer(asked.question, asked.policies)
        found = decide(asked.question, asked.policies)
        tally.effects[said] += 1
        if said is not found:
            tally.differences.append((seed, asked.theme, said, found))
            if stop_at is not None and len(tally.differences) >= stop_at:
                break
    return tally

"""What the analysis needs of the rest of the identity wing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.identity import compiled, conditions, evaluate
from ringfence.identity.principal import Principal
from ringfence.identity.question import Context, Policies, Question

#: service prefix -> the names of its actions; a service that is missing may have any
Catalogue = Mapping[str, Collection[str]]
#: (operator, key, values, variables?, of an Allow?) -> the test
Compile = Callable[[str, str, Sequence[str], bool, bool], Callable[[Context], bool]]


@dataclass(frozen=True, slots=True)
class Engine:
    """Condition tests, who a statement names, the evaluator's word to prove a witness, and the actions that exist."""

    compile_test: Compile
    named: Callable[[dict[str, Any], Principal], bool]
    permits: Callable[[Question, Policies], bool]
    catalogue: Catalogue


def evaluator(catalogue: Catalogue) -> Engine:
    """The analysis on top of the evaluator."""
    return Engine(
        _test, compiled.names, lambda question, policies: evaluate.decide(question, policies).allowed, catalogue
    )


def _test(operator: str, key: str, values: Sequence[str], variables: bool, allows: bool) -> Callable[[Context], bool]:
    name = conditions.read_name(operator)
    if name is None:  # as in `compiled`: an operator nobody knows never allows and always denies
        return lambda _context: not allows
    return conditions.compile_test(name, key, values, variables=variables)

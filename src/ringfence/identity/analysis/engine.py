"""What the analysis needs of the rest of the identity wing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

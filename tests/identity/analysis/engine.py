"""The analysis on top of the specification, so that its answers are checked by what did not make them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ringfence.identity import spec
from ringfence.identity.analysis.engine import Engine
from ringfence.identity.question import Context, Effect, Policies, Question

CATALOGUE = {"ec2": ("RunInstances", "DescribeVpcs", "DescribeSubnets", "CreateVpc", "CreateSubnet", "DeleteSubnet")}


def _compile(
    operator: str, key: str, values: Sequence[str], variables: bool, _allows: bool
) -> Callable[[Context], bool]:
    return lambda context: spec._holds(operator, context.get(key), list(values), context, variables)


def permits(question: Question, policies: Policies) -> bool:
    return spec.answer(question, policies) is Effect.ALLOWED


ENGINE = Engine(_compile, lambda statement, who: bool(spec._named(statement, who)), permits, CATALOGUE)


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}

"""Every operation of the served services, there and back, against botocore's own serialiser and parser (INF-13)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.api.wire import model
from tests.api.wire.cases import Cases, misnamed, parsed, read, sent, written

#: the last two are not served: maps (sns) and flattened lists (sdb) have no other users among the Query services
SERVICES = ("ec2", "sts", "iam", "sns", "sdb")
OPERATIONS = [(scope, name) for scope in SERVICES for name in model.service(scope).operation_names]  # type: ignore[union-attr]
#: operations are grouped, since one test item each would cost more than the test
GROUPS = [OPERATIONS[start::40] for start in range(40)]
SEEDS = (("full", False), *((f"sparse-{number}", True) for number in range(5)))


def _cases(group: list[tuple[str, str]]) -> Any:
    for scope, name in group:
        for seed, sparse in SEEDS:
            yield model.operation(scope, name), Cases(f"{scope}:{name}:{seed}", sparse=sparse)


@pytest.mark.parametrize("group", GROUPS, ids=range(len(GROUPS)))
def test_requests_botocore_sends_are_parsed_to_what_was_asked(group: list[tuple[str, str]]) -> None:
    for operation, cases in _cases(group):
        asked = cases.value(operation.input_shape) if operation.input_shape is not None else {}
        assert parsed(operation, sent(operation, asked)) == asked, operation.name


@pytest.mark.parametrize("group", GROUPS, ids=range(len(GROUPS)))
def test_replies_we_send_are_read_by_botocore_as_what_was_answered(group: list[tuple[str, str]]) -> None:
    for operation, cases in _cases(group):
        answered = cases.value(operation.output_shape) if operation.output_shape is not None else {}
        body = written(operation, answered)
        got = read(operation, body)
        assert got.pop("ResponseMetadata")["RequestId"] == "request-1"
        assert got == answered, operation.name
        assert not misnamed(operation, body), operation.name


def test_every_operation_of_the_models_was_in_a_group() -> None:
    assert sum(map(len, GROUPS)) == len(set(OPERATIONS)) > 1000


def test_generated_lists_are_long_enough_to_show_text_order() -> None:
    """Ten comes before two as text: without lists past ten a wrong order would not show."""
    operation = model.operation("ec2", "DescribeVpcs")
    asked = Cases("x", sparse=False).value(operation.input_shape)  # type: ignore[union-attr]
    assert len(asked["VpcIds"]) > 10
    assert len(set(asked["VpcIds"])) == len(asked["VpcIds"])

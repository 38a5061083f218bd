"""Actions of composite alarms that another alarm holds back (CloudWatch User Guide: "Composite alarm action suppression")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloudwatch_lab import ARN, TOPIC, Lab, code, opened

OK_TOPIC = TOPIC + "-ok"
UNIT = 60
#: what the alarm's history says of actions
ALARM_DUE, OK_DUE = f"Failed to execute action {TOPIC}", f"Failed to execute action {OK_TOPIC}"
WAIT, EXTENSION, HELD = (f"Actions suppressed by {by}" for by in ("WaitPeriod", "ExtensionPeriod", "Alarm"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield from opened(tmp_path)


def put(lab: Lab, *, wait: int = 2, extension: int = 3, suppressor: str | None = "deploying", **more: Any) -> None:
    periods: dict[str, Any] = {}
    if suppressor is not None:
        periods = {
            "ActionsSuppressor": suppressor, "ActionsSuppressorWaitPeriod": wait * UNIT,
            "ActionsSuppressorExtensionPeriod": extension * UNIT,
        }  # fmt: skip
    lab.cw.put_composite_alarm(
        AlarmName="site", AlarmRule="ALARM(cpu)", AlarmActions=[TOPIC], OKActions=[OK_TOPIC], **periods, **more
    )


def start(lab: Lab, **how: Any) -> None:
    """Two metric alarms, and the composite one in OK with nothing due."""
    for name in ("cpu", "deploying"):
        lab.alarm(name, TreatMissingData="ignore")  # without samples they stay as they are set
        set_(lab, name, "OK")
    lab.cw.put_composite_alarm(AlarmName="site", AlarmRule="ALARM(cpu)")
    lab.evaluator.run()
    put(lab, **how)


def set_(lab: Lab, name: str, state: str) -> None:
    lab.cw.set_alarm_state(AlarmName=name, StateValue=state, StateReason="x")


def shown(lab: Lab) -> dict[str, Any]:
    (alarm,) = lab.cw.describe_alarms(AlarmNames=["site"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    return dict(alarm)


def items(lab: Lab, kind: str = "Action") -> list[dict[str, Any]]:
    return list(
        lab.cw.describe_alarm_history(
            AlarmName="site", AlarmTypes=["CompositeAlarm"], HistoryItemType=kind, ScanBy="TimestampAscending"
        )["AlarmHistoryItems"]
    )


def played(lab: Lab, events: dict[int, str], until: int = 12) -> list[str]:
    """What the history says of actions, `time: text`; the alarms of `events` change at those times: `cpu`, `OK cpu`."""
    said: list[str] = []
    for at in range(until):
        for event in filter(None, events.get(at, "").split(", ")):
            state, _, name = event.rpartition(" ")
            set_(lab, name, state or "ALARM")
        before = len(items(lab))
        lab.evaluator.run()
        said += [f"{at}: {item['HistorySummary']}" for item in items(lab)[before:]]
        by = shown(lab).get("ActionsSuppressedBy")
        assert shown(lab).get("ActionsSuppressedReason") == (f"Actions suppressed by {by}" if by else None)
        lab.pass_(seconds=UNIT)
    return said


@pytest.mark.parametrize(
    ("periods", "events", "said"),
    [
        # the guide's six examples
        ((2, 3), {2: "cpu"}, [f"2: {WAIT}", f"4: {ALARM_DUE}"]),
        ((2, 3), {2: "cpu", 3: "deploying"}, [f"2: {WAIT}", f"3: {HELD}"]),
        ((2, 3), {2: "cpu", 3: "OK cpu"}, [f"2: {WAIT}", f"3: {WAIT}", f"5: {OK_DUE}"]),
        ((2, 3), {1: "deploying", 2: "cpu"}, [f"2: {HELD}"]),
        (
            (2, 3), {2: "cpu", 3: "deploying", 6: "OK deploying"},
            [f"2: {WAIT}", f"3: {HELD}", f"6: {EXTENSION}", f"9: {ALARM_DUE}"],
        ),
        (
            (2, 3), {2: "cpu", 3: "deploying", 6: "OK deploying", 7: "OK cpu"},
            [f"2: {WAIT}", f"3: {HELD}", f"6: {EXTENSION}", f"7: {WAIT}", f"9: {OK_DUE}"],
        ),
        # beyond them
        (
            (2, 3), {1: "deploying", 2: "cpu", 4: "OK cpu", 6: "OK deploying"},
            [f"2: {HELD}", f"4: {HELD}", f"6: {EXTENSION}", f"9: {OK_DUE}"],
        ),
        (
            (2, 3), {2: "cpu", 3: "deploying", 6: "OK deploying", 8: "deploying"},
            [f"2: {WAIT}", f"3: {HELD}", f"6: {EXTENSION}", f"8: {HELD}"],
        ),
        ((2, 3), {2: "cpu", 5: "deploying"}, [f"2: {WAIT}", f"4: {ALARM_DUE}"]),  # too late: nothing is held back
        ((2, 3), {2: "cpu, INSUFFICIENT_DATA deploying"}, [f"2: {WAIT}", f"4: {ALARM_DUE}"]),
        ((0, 0), {2: "cpu", 3: "OK cpu"}, [f"2: {ALARM_DUE}", f"3: {OK_DUE}"]),
        ((0, 0), {1: "deploying", 2: "cpu", 4: "OK deploying"}, [f"2: {HELD}", f"4: {ALARM_DUE}"]),
    ],
)  # fmt: skip
def test_over_time(lab: Lab, periods: tuple[int, int], events: dict[int, str], said: list[str]) -> None:
    start(lab, wait=periods[0], extension=periods[1])
    assert played(lab, events) == said


def test_what_is_shown_and_recorded(lab: Lab) -> None:
    start(lab, suppressor=f"{ARN}deploying")
    alarm = shown(lab)
    assert (
        alarm["ActionsSuppressor"], alarm["ActionsSuppressorWaitPeriod"], alarm["ActionsSuppressorExtensionPeriod"],
        "ActionsSuppressedBy" in alarm,
    ) == (f"{ARN}deploying", 120, 180, False)  # fmt: skip
    set_(lab, "cpu", "ALARM")
    lab.evaluator.run()
    assert shown(lab)["ActionsSuppressedBy"] == "WaitPeriod"
    state = json.loads(items(lab, "StateUpdate")[-1]["HistoryData"])["newState"]
    assert (state["stateValue"], state["actionsSuppressedBy"]) == ("ALARM", "WaitPeriod")
    assert json.loads(items(lab)[-1]["HistoryData"])["actionState"] == "Suppressed"
    assert code(lab.cw.delete_alarms, AlarmNames=["deploying"]) == "ValidationError"
    lab.cw.delete_alarms(AlarmNames=["site", "deploying"])


def test_a_state_that_is_set_is_held_back_too(lab: Lab) -> None:
    start(lab)
    set_(lab, "deploying", "ALARM")
    set_(lab, "site", "ALARM")
    assert [item["HistorySummary"] for item in items(lab)] == [HELD]


def test_a_suppressor_that_changes_at_the_same_time_counts(lab: Lab) -> None:
    start(lab)
    lab.cw.put_composite_alarm(AlarmName="window", AlarmRule="ALARM(cpu)")
    lab.evaluator.run()
    put(lab, suppressor="window", wait=0)
    set_(lab, "cpu", "ALARM")
    lab.evaluator.run()
    assert [item["HistorySummary"] for item in items(lab)] == [HELD]


def test_taking_the_suppressor_off_lets_go_what_waited(lab: Lab) -> None:
    start(lab)
    set_(lab, "cpu", "ALARM")
    lab.evaluator.run()
    put(lab, suppressor=None)
    assert shown(lab)["ActionsSuppressedBy"] == "WaitPeriod"
    lab.evaluator.run()
    assert [item["HistorySummary"] for item in items(lab)] == [WAIT, ALARM_DUE]
    assert "ActionsSuppressedBy" not in shown(lab)


def test_disabled_actions_are_neither_held_back_nor_called(lab: Lab) -> None:
    start(lab, ActionsEnabled=False)
    assert played(lab, {1: "cpu", 2: "deploying"}, until=6) == []
    lab.cw.enable_alarm_actions(AlarmNames=["site"])
    set_(lab, "cpu", "OK")
    lab.evaluator.run()
    lab.cw.disable_alarm_actions(AlarmNames=["site"])
    lab.evaluator.run()
    assert [item["HistorySummary"] for item in items(lab)] == [HELD]
    assert "ActionsSuppressedBy" not in shown(lab)

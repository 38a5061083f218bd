"""GetConsoleOutput (EC2 API Reference; EC2 User Guide: "Instance console output")."""

from __future__ import annotations

import base64
from dataclasses import replace

from ringfence.api.ops.context import Call
from ringfence.api.outside import ConsoleOutput, Nothing
from tests.api.ops.harness import Api


class OneConsole(Nothing):
    """An installation where one instance wrote something."""

    def __init__(self) -> None:
        self.written: dict[str, ConsoleOutput] = {}

    def console(self, instance_id: str) -> ConsoleOutput | None:
        return self.written.get(instance_id)


class ConsoleApi(Api):
    outside: Nothing = Nothing()

    def _context(self, action: str) -> Call:
        return replace(super()._context(action), outside=self.outside)


def test_the_latest_output_of_an_instance() -> None:
    api, outside = ConsoleApi(defaults=True), OneConsole()
    api.outside = outside
    instance = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1)["Instances"][0]
    id = instance["InstanceId"]
    assert api.call("GetConsoleOutput", InstanceId=id) == {
        "InstanceId": id, "Output": "", "Timestamp": instance["LaunchTime"]}  # fmt: skip
    outside.written[id] = ConsoleOutput(b"hello\n", 1_800_000_000.25)
    shown = api.call("GetConsoleOutput", InstanceId=id, Latest=True)
    assert base64.b64decode(shown["Output"]) == b"hello\n"
    assert shown["Timestamp"] == "2027-01-15T08:00:00.250Z"
    assert api.error("GetConsoleOutput", InstanceId="i-0123456789abcdef0") == "InvalidInstanceID.NotFound"

"""What an instance wrote on its console: the output of its user data (Amazon EC2 User Guide: "Instance console output")."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.model.kinds import INSTANCE
from ringfence.model.world import World


@operation("ec2:GetConsoleOutput")
def get_console_output(call: Call, world: World, params: Params) -> Outcome:
    """The most recent 64 KiB, always the latest; nothing where no data plane runs instances."""
    instance = call.get(world, INSTANCE, params["InstanceId"])
    found = call.outside.console(instance.id)
    text, at = (b"", instance.launch_time) if found is None else (found.text, _timestamp(found.at))
    return Outcome({"InstanceId": instance.id, "Timestamp": at, "Output": base64.b64encode(text).decode()})


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:23] + "Z"

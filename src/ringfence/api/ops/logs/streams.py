"""Log streams (CloudWatch Logs API Reference: CreateLogStream, DeleteLogStream, DescribeLogStreams)."""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs.serve import find_group, find_stream, identified_group, invalid, logs, milliseconds, page
from ringfence.model.errors import fault
from ringfence.model.kinds import LOG_STREAM
from ringfence.model.nouns.log import LogStream
from ringfence.model.world import World, delete, put
from ringfence.store.events import Summary

_NUMBER_BITS = 62


@logs("CreateLogStream")
def create_log_stream(call: Call, world: World, params: Params) -> Outcome:
    """ResourceAlreadyExistsException, ResourceNotFoundException."""
    group = find_group(call, world, params["logGroupName"])
    arn = f"{group.id}:log-stream:{params['logStreamName']}"
    if world.find(LOG_STREAM, arn) is not None:
        raise fault("ResourceAlreadyExistsException", what="log stream")
    number = call.ids.number(_NUMBER_BITS)
    while world.count(LOG_STREAM, "number", str(number)):
        number = call.ids.number(_NUMBER_BITS)
    stream = LogStream(
        id=arn, **call.owned(), group=group.id, name=params["logStreamName"], created=milliseconds(call), number=number
    )  # fmt: skip
    return Outcome({}, put(LOG_STREAM, stream))


@logs("DeleteLogStream")
def delete_log_stream(call: Call, world: World, params: Params) -> Outcome:
    """With its events: nothing shows them any more, housekeeping takes them off the disk."""
    group = find_group(call, world, params["logGroupName"])
    return Outcome({}, delete(LOG_STREAM, find_stream(world, group, params["logStreamName"]).id))


@logs("DescribeLogStreams", aside=True)
def describe_log_streams(call: Call, world: World, params: Params) -> Outcome:
    """By name, or by the time of the last event."""
    group = identified_group(call, world, params)
    prefix, order = params.get("logStreamNamePrefix"), params.get("orderBy") or "LogStreamName"
    if prefix is not None and order == "LastEventTime":
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    streams = [s for s in world.by(LOG_STREAM, "group", group.id) if prefix is None or s.name.startswith(prefix)]
    known = call.outside.logs.summaries(stream.number for stream in streams)

    def last_event(stream: LogStream) -> list[Any]:
        summary = known.get(stream.number)
        return [summary.last if summary else stream.created, stream.name]

    key = _name if order == "LogStreamName" else last_event
    descending = bool(params.get("descending"))
    shown, token = page(sorted(streams, key=key, reverse=descending), key, params, descending=descending)
    return Outcome({"logStreams": [_view(stream, known.get(stream.number)) for stream in shown], **token})


def _name(stream: LogStream) -> Any:
    return stream.name


def _view(stream: LogStream, summary: Summary | None) -> dict[str, Any]:
    """`LogStream` of the API; storedBytes of streams has been 0 since 2019."""
    view: dict[str, Any] = {
        "logStreamName": stream.name, "creationTime": stream.created, "arn": stream.id, "storedBytes": 0,
    }  # fmt: skip
    if summary is not None:
        view |= {
            "firstEventTimestamp": summary.first, "lastEventTimestamp": summary.last,
            "lastIngestionTime": summary.ingested, "uploadSequenceToken": sequence_token(summary.number),
        }  # fmt: skip
    return view


def sequence_token(number: int) -> str:
    """AWS: tokens are still given, and no longer looked at."""
    return f"{number:056d}"

"""Log events (CloudWatch Logs API Reference: PutLogEvents, GetLogEvents, FilterLogEvents).

An event is on disk before PutLogEvents answers. Events are shown at once; AWS may take minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs import encryption, metrics
from ringfence.api.ops.logs.serve import (
    bad_token,
    digest,
    find_group,
    find_stream,
    identified_group,
    invalid,
    logs,
    milliseconds,
    open_token,
    token,
)
from ringfence.api.ops.logs.streams import sequence_token
from ringfence.insight.patterns import Pattern, PatternError, Sieve, compile_pattern
from ringfence.model.kinds import LOG_STREAM
from ringfence.model.nouns.log import LogGroup, LogStream
from ringfence.model.world import World
from ringfence.store.events import FIRST, LAST, OVERHEAD, LogEvent, Position, Words
from ringfence.store.sealed import Opener

MAX_BATCH, MAX_EVENTS = 1 << 20, 10_000
TOO_NEW, TOO_OLD, SPAN = 2 * 3_600_000, 14 * 86_400_000, 86_400_000  # ms
DAY = 86_400_000
#: a page of a reply: events, and bytes of messages
PAGE_EVENTS, PAGE_BYTES = 10_000, 1 << 20
#: events that one FilterLogEvents looks at; then it answers what it has, with a token
SCANNED = 100_000
#: the same where every match has certain texts: the store passes over those without
SIEVED = 1_000_000


# ---------------------------------------------------------------------- putting
@logs("PutLogEvents", aside=True, changes_world=False)
def put_log_events(call: Call, world: World, params: Params) -> Outcome:
    """Events too old or too new are left out and told of, the others are taken. Sequence tokens are not looked at.

    InvalidParameterException for batches that break a rule, ResourceNotFoundException.
    """
    group = find_group(call, world, params["logGroupName"])
    stream = find_stream(world, group, params["logStreamName"])
    events = [(event["timestamp"], event["message"]) for event in params["logEvents"]]
    _check_batch(events)
    now = milliseconds(call)
    taken, rejected = _sorted_out(events, now, group)
    number = 0
    if taken:
        if taken[-1][0] - taken[0][0] > SPAN:
            raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
        key = encryption.key_for(call, world, group)
        number = call.outside.logs.put(stream.number, taken, now, metrics.samples(world, group, taken), key)
    reply: dict[str, Any] = {"nextSequenceToken": sequence_token(number)}
    return Outcome({**reply, "rejectedLogEventsInfo": rejected} if rejected else reply)


def _check_batch(events: Sequence[tuple[int, str]]) -> None:
    """ApiError InvalidParameterException."""
    if not 1 <= len(events) <= MAX_EVENTS:
        bound = "less than or equal to 10000" if events else "greater than or equal to 1"
        text = f"Value '[…]' at 'logEvents' failed to satisfy constraint: Member must have length {bound}"
        raise invalid(f"1 validation error detected: {text}")
    before = 0
    for at, message in events:
        if not message or at < 0:
            raise invalid("Log events must have a timestamp of 1970 or later, and a message.")
        if at < before:
            raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
        before = at
    size = sum([len(message.encode()) for _, message in events]) + OVERHEAD * len(events)
    if size > MAX_BATCH:
        raise invalid(f"Upload too large: {size} bytes exceeds limit of {MAX_BATCH}")


def _sorted_out(
    events: Sequence[tuple[int, str]], now: int, group: LogGroup
) -> tuple[list[tuple[int, str]], dict[str, int]]:
    """The events to take, and `rejectedLogEventsInfo`: ends are exclusive, starts inclusive."""
    old = sum(1 for at, _ in events if at < now - TOO_OLD)
    expired = 0
    if group.retention is not None:
        expired = sum(1 for at, _ in events if at < now - group.retention * DAY)
    new = next((n for n, (at, _) in enumerate(events) if at > now + TOO_NEW), len(events))
    rejected = {}
    if old:
        rejected["tooOldLogEventEndIndex"] = old
    if expired > old:
        rejected["expiredLogEventEndIndex"] = expired
    if new < len(events):
        rejected["tooNewLogEventStartIndex"] = new
    return list(events[max(old, expired) : new]), rejected


# ---------------------------------------------------------------------- reading a stream
@logs("GetLogEvents", aside=True)
def get_log_events(call: Call, world: World, params: Params) -> Outcome:
    """Events of one stream, the oldest first in every page; the newest page unless `startFromHead`.

    At either end a token leads to itself. InvalidParameterException, ResourceNotFoundException.
    """
    group = identified_group(call, world, params)
    stream = find_stream(world, group, params["logStreamName"])
    after, before = _span(params, end_inclusive=False)
    after = max(after, _oldest(call, group))
    forward, place = _direction(params)
    if place is not None:
        after, before = (max(after, place), before) if forward else (after, min(before, place))
    limit = params.get("limit") or PAGE_EVENTS
    with encryption.reading(group):
        found = call.outside.logs.page(
            stream.number, after, before, limit, newest=not forward, opener=encryption.opener(call, world, group)
        )
    events = _fitting(found)
    if not forward:
        events.reverse()
    # with nothing there, both tokens stand where it was looked
    edge = place if place is not None else (after if forward else before)
    first, last = (events[0].position, events[-1].position) if events else (edge, edge)
    return Outcome({
        "events": [{"timestamp": e.at, "message": e.message, "ingestionTime": e.ingested} for e in events],
        "nextForwardToken": _stream_token("f", last), "nextBackwardToken": _stream_token("b", first),
    })  # fmt: skip


def _fitting(found: list[LogEvent]) -> list[LogEvent]:
    """As many as a page may have, one at least."""
    size = 0
    for n, event in enumerate(found):
        size += len(event.message.encode()) + OVERHEAD
        if size > PAGE_BYTES and n:
            return found[:n]
    return found


def _span(params: Params, *, end_inclusive: bool) -> tuple[Position, Position]:
    start, end = params.get("startTime"), params.get("endTime")
    if start is not None and end is not None and start > end:
        raise invalid("The start time must not be later than the end time.")
    before = LAST if end is None else (end, LAST[1]) if end_inclusive else (end, -1)
    return (FIRST if start is None else (start, -1)), before


def _oldest(call: Call, group: LogGroup) -> Position:
    """Expired events are not shown, whether housekeeping came by or not."""
    return FIRST if group.retention is None else (milliseconds(call) - group.retention * DAY, -1)


def _direction(params: Params) -> tuple[bool, Position | None]:
    """Forward or backward, and from where. ApiError InvalidParameterException."""
    text = params.get("nextToken")
    if text is None:
        return bool(params.get("startFromHead")), None
    kind, _, rest = text.partition("/")
    digits, _, end = rest.partition("/")
    if kind not in ("f", "b") or end != "s" or len(digits) != 56 or not (digits.isascii() and digits.isdigit()):
        raise bad_token()
    at, number = int(digits[:28]) - 1, int(digits[28:]) - 1
    if max(at, number) > LAST[0]:
        raise bad_token()
    return kind == "f", (at, number)


def _stream_token(kind: str, place: Position) -> str:
    return f"{kind}/{place[0] + 1:028d}{place[1] + 1:028d}/s"


# ---------------------------------------------------------------------- searching a group
@logs("FilterLogEvents", aside=True)
def filter_log_events(call: Call, world: World, params: Params) -> Outcome:
    """Events of a group that fit a pattern, by time. A page may be short or empty and still have a token.

    InvalidParameterException, ResourceNotFoundException.
    """
    group = identified_group(call, world, params)
    streams = _streams(world, group, params)
    pattern = compiled(params.get("filterPattern"))
    newest = params.get("startFromHead") is False
    after, before = _span(params, end_inclusive=True)
    after = max(after, _oldest(call, group))
    asked = digest({name: value for name, value in params.items() if name not in ("nextToken", "limit")})
    if params.get("nextToken"):
        place = _place(open_token(params["nextToken"], asked))
        after, before = (after, min(before, place)) if newest else (max(after, place), before)
    wanted = _with_events(call, streams, after, before)
    opener, limit = encryption.opener(call, world, group), params.get("limit") or PAGE_EVENTS
    with encryption.reading(group):
        found, more = _search(call, wanted, (after, before), pattern, limit, newest, opener)
    shown = [_filtered(event, wanted[event.stream]) for event in found]
    return Outcome({
        "events": shown, "searchedLogStreams": [], **({"nextToken": token(asked, list(more))} if more else {}),
    })  # fmt: skip


def _streams(world: World, group: LogGroup, params: Params) -> list[LogStream]:
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if names is not None and prefix is not None:
        raise invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
    if names is not None:
        return [find_stream(world, group, name) for name in dict.fromkeys(names)]
    streams = world.by(LOG_STREAM, "group", group.id)
    return [stream for stream in streams if prefix is None or stream.name.startswith(prefix)]


def compiled(text: str | None) -> Pattern | None:
    """A filter pattern; None: everything fits. ApiError InvalidParameterException."""
    if text is None or not text.strip():
        return None
    try:
        return compile_pattern(text)
    except PatternError as problem:
        raise invalid(f"Invalid filter pattern: {problem}") from None


def _place(read: Any) -> Position:
    match read:
        case [int(at), int(number)] if -1 <= at <= LAST[0] and -1 <= number <= LAST[1]:
            return at, number
    raise bad_token()


def _with_events(call: Call, streams: list[LogStream], after: Position, before: Position) -> dict[int, str]:
    """Number → name of the streams that have events in that span of time."""
    known = call.outside.logs.summaries(stream.number for stream in streams)
    return {
        stream.number: stream.name
        for stream in streams
        if (summary := known.get(stream.number)) and summary.last >= after[0] and summary.first <= before[0]
    }


def _search(
    call: Call,
    streams: dict[int, str],
    span: tuple[Position, Position],
    pattern: Pattern | None,
    limit: int,
    newest: bool,
    opener: Opener | None,
) -> tuple[list[LogEvent], Position | None]:
    """Events that fit, and where to go on if this is not the end."""
    found: list[LogEvent] = []
    size, last, scanned = 0, None, 0
    sieve = pattern.sieve if pattern is not None and opener is None else Sieve()  # what is sealed has no words
    told = bool(sieve) or sieve.among is not None
    words = Words(sieve.every, sieve.some, sieve.none, sieve.escaped, sieve.among) if told else None
    sure, most = pattern is None or (opener is None and sieve.exact), SIEVED if sieve else SCANNED
    matches = pattern.matches if pattern is not None else None
    for event in call.outside.logs.scan(streams, *span, newest=newest, words=words, opener=opener):
        if scanned >= most or len(found) >= limit:
            return found, last
        if event.ingested < 0:  # a mark
            scanned, last = scanned - event.ingested, event.position
            continue
        scanned += 1
        if sure or (matches is not None and matches(event.message)):
            size += len(event.message.encode()) + OVERHEAD
            if found and size > PAGE_BYTES:
                return found, last
            found.append(event)
        last = event.position
    return found, None


def _filtered(event: LogEvent, stream: str) -> dict[str, Any]:
    return {
        "logStreamName": stream, "timestamp": event.at, "message": event.message, "ingestionTime": event.ingested,
        "eventId": f"{event.at:028d}{event.number:028d}",
    }  # fmt: skip

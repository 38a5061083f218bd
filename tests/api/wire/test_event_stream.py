"""Event stream messages, read by botocore's own parser (Smithy: "Amazon Event Stream Specification")."""

from __future__ import annotations

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from ringfence.api.wire import model
from ringfence.api.wire.event_stream import Messages, message

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(
    st.lists(st.tuples(st.dictionaries(NAMES, NAMES, max_size=5), st.binary(max_size=500)), max_size=4),
    st.integers(1, 40),
)
def test_botocore_reads_what_was_written_however_it_is_cut(
    given: list[tuple[dict[str, str], bytes]], size: int
) -> None:
    whole = b"".join(message(headers, payload) for headers, payload in given)
    buffer, found = EventStreamBuffer(), []
    for start in range(0, len(whole), size):
        buffer.add_data(whole[start : start + size])
        found += [(each.headers, each.payload) for each in buffer]
    assert found == given


def test_events_and_exceptions_name_themselves() -> None:
    messages = Messages(model.operation("logs", "StartLiveTail"))
    buffer = EventStreamBuffer()
    said = [
        messages.initial(),
        messages.event("sessionUpdate", {"sessionMetadata": {"sampled": True}, "sessionResults": []}),
        messages.exception("SessionTimeoutException", "late"),
    ]
    buffer.add_data(b"".join(said))
    kind = "application/x-amz-json-1.1"
    assert [(each.headers, each.payload) for each in buffer] == [
        ({":message-type": "event", ":event-type": "initial-response", ":content-type": kind}, b"{}"),
        (
            {":message-type": "event", ":event-type": "sessionUpdate", ":content-type": kind},
            b'{"sessionMetadata":{"sampled":true},"sessionResults":[]}',
        ),
        (
            {":message-type": "exception", ":exception-type": "SessionTimeoutException", ":content-type": kind},
            b'{"message":"late"}',
        ),
    ]

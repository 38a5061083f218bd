"""Form parameters: read as the standard library reads them, only faster."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.api.wire.http import HttpRequest
from ringfence.api.wire.route import MAX_PARAMETERS, read_form
from ringfence.model.errors import ApiError


def _form(body: bytes) -> tuple[tuple[str, str], ...]:
    return read_form(HttpRequest("POST", "/", "", (), body), presigned=False).pairs


@given(st.binary(max_size=60) | st.text("ab=&%+;0fF\xe9", max_size=40).map(str.encode))
def test_pairs_are_those_of_the_standard_library(body: bytes) -> None:
    try:
        expected = tuple(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        with pytest.raises(ApiError, match="not UTF-8"):
            _form(body)
        return
    assert _form(body) == expected


@given(st.lists(st.tuples(st.text(min_size=1).filter(lambda t: t not in ("Action", "Version")), st.text()), max_size=5))
def test_what_a_client_encodes_is_what_is_read(pairs: list[tuple[str, str]]) -> None:
    try:
        body = urlencode(pairs).encode()
    except UnicodeEncodeError:  # lone surrogates cannot be sent
        return
    assert _form(body) == tuple(pairs)


def test_escapes_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(ApiError, match="not UTF-8"):
        _form(b"a=%ff")


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(ApiError, match="more than"):
        _form(b"&".join(b"a%d=" % n for n in range(MAX_PARAMETERS + 1)))
    with pytest.raises(ApiError, match="more than"):
        _form(b"&" * (MAX_PARAMETERS + 10))
    assert len(_form(b"&".join(b"a%d=" % n for n in range(MAX_PARAMETERS)))) == MAX_PARAMETERS

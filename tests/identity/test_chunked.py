"""`aws-chunked` bodies: the example of the S3 documentation, and whatever is changed in one (IAM-02)."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity import chunked, sigv4

#: Amazon S3 API Reference, "Signature calculations …: transferring payload in multiple chunks", the example PUT
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SCOPE, AT = "20130524/us-east-1/s3/aws4_request", "20130524T000000Z"
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
SIGNATURES = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
]
PARTS = [b"a" * 65536, b"a" * 1024, b""]
BODY = b"".join(
    b"%x;chunk-signature=%s\r\n%s\r\n" % (len(part), signature.encode(), part)
    for part, signature in zip(PARTS, SIGNATURES, strict=True)
)


def key() -> bytes:
    made = ("AWS4" + SECRET).encode()
    for part in SCOPE.split("/"):
        made = hmac.digest(made, part.encode(), "sha256")
    return made


def test_the_documented_example() -> None:
    assert chunked.verify(BODY, chunked.SIGNED, key(), AT, SCOPE, SEED)
    assert chunked.payload(BODY) == b"a" * 66560
    headers = {
        "host": "s3.amazonaws.com", "x-amz-date": AT, "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "authorization": f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{SCOPE},SignedHeaders=content-encoding;content-length;host;"
        f"x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature={SEED}",
        "x-amz-content-sha256": chunked.SIGNED, "content-encoding": "aws-chunked", "x-amz-decoded-content-length": "66560",
        "content-length": "66824",
    }  # fmt: skip
    now = datetime(2013, 5, 24, tzinfo=UTC)

    def check(body: bytes) -> None:
        request = sigv4.Signed("PUT", "/examplebucket/chunkObject.txt", "", headers, body)
        sigv4.verify(request, sigv4.read_signature(request), lambda _: SECRET, now)

    check(BODY)
    for body in (BODY.replace(b"aaa", b"aab", 1), BODY[:-1] + b"x", b"x", BODY.split(b"400;")[0]):
        with pytest.raises(sigv4.SignatureFault):
            check(body)


@pytest.mark.parametrize(
    "changed",
    [BODY.replace(b"a" * 1024, b"a" * 1023 + b"b"), BODY.replace(SIGNATURES[1].encode(), SIGNATURES[0].encode()),
     b"".join(reversed(BODY.split(b"400;"))), BODY.replace(b";chunk-signature=" + SIGNATURES[2].encode(), b""),
     BODY + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n"],
)  # fmt: skip
def test_no_chunk_can_be_changed_moved_or_unsigned(changed: bytes) -> None:
    with contextlib.suppress(chunked.ChunkFault):
        assert not chunked.verify(changed, chunked.SIGNED, key(), AT, SCOPE, SEED)


def test_a_signed_trailer_is_bound_to_the_body() -> None:
    trailer = b"x-amz-checksum-crc32:AAAAAA=="
    digest = hashlib.sha256(trailer + b"\n").hexdigest()
    text = f"AWS4-HMAC-SHA256-TRAILER\n{AT}\n{SCOPE}\n{SIGNATURES[2]}\n{digest}"
    signature = hmac.digest(key(), text.encode(), "sha256").hex().encode()
    body = BODY[:-2] + trailer + b"\r\nx-amz-trailer-signature:" + signature + b"\r\n\r\n"
    assert chunked.verify(body, chunked.SIGNED_TRAILER, key(), AT, SCOPE, SEED)
    assert chunked.read(body).trailers == (("x-amz-checksum-crc32", "AAAAAA=="),)
    assert not chunked.verify(body.replace(b"AAAAAA", b"AAAAAB"), chunked.SIGNED_TRAILER, key(), AT, SCOPE, SEED)
    assert not chunked.verify(BODY, chunked.SIGNED_TRAILER, key(), AT, SCOPE, SEED)


@pytest.mark.parametrize(
    "body", [b"", b"5\r\nabc", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"-1\r\n", b"zz\r\n", b"5;x=1\r\nabcde\r\n0\r\n", b"3\r\nabc\r\n",
             b"ffffffffffffffff\r\nabc", b"0\r\nnocolon\r\n", b"0\r\n" + b"a:b\r\n" * 17],
)  # fmt: skip
def test_what_is_no_chunked_body(body: bytes) -> None:
    with pytest.raises(chunked.ChunkFault):
        chunked.read(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        chunked.read(body)
    except chunked.ChunkFault:
        return


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_chunks_put_together_are_the_body(parts: list[bytes]) -> None:
    body = b"".join(b"%X\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nx-amz-checksum-sha256: q \r\n\r\n"
    assert chunked.payload(body) == b"".join(parts)
    assert chunked.read(body).trailers == (("x-amz-checksum-sha256", "q"),)

"""What is sealed at rest (DATA-05, docs/adr/0014): any change is noticed, any range is the slice, nothing is there in plain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.identity.sealing import Sealer, new_key
from ringfence.store import sealed
from ringfence.store.buckets import BucketFiles
from ringfence.store.containers import KMS, Encryption, Sealing
from ringfence.store.sealed import CHUNK, Damaged, DataKey, Opener, Run

SMALL = 16  # a chunk: many chunks of few bytes
KEY = bytes(range(32))
TEXT = b"the text that must not be found anywhere on the disk " * 3
AES = Sealing(Encryption("AES256"))
BY_KEY = Sealing(Encryption(KMS, "arn:aws:kms:us-east-1:123456789012:key/k", {"a": "b"}, True), KEY, b"envelope")


def _reader(stored: bytes) -> Callable[[int, int], bytes]:
    return lambda at, length: stored[at : at + length]


# ---------------------------------------------------------------------- chunks
@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=SMALL * 5), start=st.integers(0, SMALL * 6), span=st.integers(0, SMALL * 6))
def test_any_range_is_the_slice(body: bytes, start: int, span: int) -> None:
    stored = b"".join(sealed.chunks(KEY, body, SMALL))
    assert len(stored) == sealed.length(len(body), SMALL)
    assert sealed.opened(KEY, _reader(stored), len(body), start, start + span, SMALL) == body[start : start + span]


def test_a_range_reads_only_its_chunks() -> None:
    body, asked = os.urandom(SMALL * 9), list[tuple[int, int]]()
    stored = b"".join(sealed.chunks(KEY, body, SMALL))

    def read(at: int, length: int) -> bytes:
        asked.append((at, length))
        return stored[at : at + length]

    assert sealed.opened(KEY, read, len(body), SMALL * 4 + 1, SMALL * 6, SMALL) == body[SMALL * 4 + 1 : SMALL * 6]
    assert asked == [(4 * (SMALL + 16), SMALL + 16), (5 * (SMALL + 16), SMALL + 16)]


# ---------------------------------------------------------------------- objects
@settings(max_examples=200, deadline=None)
@given(size=st.sampled_from([0, 1, 50, CHUNK, CHUNK + 1]), data=st.data())
def test_no_change_of_a_stored_object_passes(
    tmp_path_factory: pytest.TempPathFactory, size: int, data: st.DataObject
) -> None:
    files = BucketFiles(tmp_path_factory.getbasetemp() / "tampered", _SEALER)
    body = bytes(size)
    files.put("logs", "k", body, sealing=AES)
    path = tmp_path_factory.getbasetemp() / "tampered/logs/k"
    stored = path.read_bytes()
    begin = len(sealed.MAGIC)  # without it, it would be a plain file that somebody put there
    kind = data.draw(st.sampled_from(["bit", "cut", "longer", "dropped"]))
    at = data.draw(st.integers(begin, len(stored) - 1))
    if kind == "bit":
        changed = stored[:at] + bytes([stored[at] ^ (1 << data.draw(st.integers(0, 7)))]) + stored[at + 1 :]
    elif kind == "cut":
        changed = stored[:at]
    elif kind == "longer":
        changed = stored + data.draw(st.binary(min_size=1, max_size=20))
    else:
        changed = stored[:at] + stored[at + 1 :]
    path.write_bytes(changed)
    about = files.find("logs", "k")
    assert about is not None
    with pytest.raises(Damaged):
        files.read("logs", "k")
    assert bool(about.damaged) == (kind != "bit" or at < len(stored) - sealed.length(size))


_SEALER = Sealer([new_key()])


def test_chunks_cannot_be_moved_left_out_or_taken_from_elsewhere(tmp_path: Path) -> None:
    files = BucketFiles(tmp_path, _SEALER)
    body = os.urandom(CHUNK) + os.urandom(CHUNK) + os.urandom(CHUNK)
    for key in ("one", "two"):
        files.put("logs", key, body, sealing=AES)
    one, two = (tmp_path / "logs" / key for key in ("one", "two"))
    stored, step = one.read_bytes(), CHUNK + 16
    begin = len(stored) - 3 * step
    parts = [stored[:begin], *(stored[begin + n * step : begin + (n + 1) * step] for n in range(3))]
    others = two.read_bytes()
    for changed in (
        parts[0] + parts[2] + parts[1] + parts[3],  # in another order
        parts[0] + parts[1] + parts[1] + parts[3],  # one twice
        parts[0] + parts[1] + parts[2],  # the last left out
        parts[0] + parts[1] + others[-2 * step : -step] + parts[3],  # of another object
        others,  # another object's file, whole
    ):
        one.write_bytes(changed)
        with pytest.raises(Damaged):
            files.read("logs", "one")
    one.write_bytes(stored)
    assert files.read("logs", "one", CHUNK - 1, CHUNK + 2) == body[CHUNK - 1 : 2 * CHUNK + 1]


@pytest.mark.parametrize("sealing", [AES, BY_KEY], ids=["installation's key", "key service"])
def test_an_object_comes_back_with_its_notes_and_nothing_of_it_is_in_plain(tmp_path: Path, sealing: Sealing) -> None:
    files = BucketFiles(tmp_path, _SEALER)
    made = files.put("logs", "a/b", TEXT, content_type="x/secret", metadata={"who": "secret-me"}, sealing=sealing)
    about = files.find("logs", "a/b")
    assert about is not None
    assert about == made
    assert (about.size, about.content_type, about.metadata, about.encryption) == (
        len(TEXT), "x/secret", {"who": "secret-me"}, sealing.encryption,
    )  # fmt: skip
    assert files.read("logs", "a/b", 4, 10, secret_of=lambda _how, _envelope: KEY) == TEXT[4:14]
    if sealing is BY_KEY:
        with pytest.raises(PermissionError):
            files.read("logs", "a/b")
        with pytest.raises(Damaged):
            files.read("logs", "a/b", secret_of=lambda _how, _envelope: bytes(32))
    else:
        assert files.read("logs", "a/b") == TEXT
    _nowhere(tmp_path, b"secret", b"must not be found", about.etag.encode())


def _nowhere(folder: Path, *texts: bytes) -> None:
    for path in folder.rglob("*"):
        raw = path.read_bytes() if path.is_file() else b""
        assert not any(text in raw or text.decode() in path.name for text in texts), path


def test_plain_and_sealed_lie_beside_each_other_and_follow_each_other(tmp_path: Path) -> None:
    files = BucketFiles(tmp_path, _SEALER)
    files.put("logs", "k", b"plain")
    assert (tmp_path / "logs/k").read_bytes() == b"plain"
    files.put("logs", "k", b"sealed", sealing=AES)
    assert files.read("logs", "k") == b"sealed"
    assert not (tmp_path / ".objects/logs/k.json").exists()
    files.put("logs", "k", b"plain again")
    again = files.find("logs", "k")
    assert again is not None
    assert (again.encryption, files.read("logs", "k")) == (None, b"plain again")
    files.put("logs", "j", b"", sealing=AES)
    assert files.read("logs", "j") == b""
    assert list(files.keys("logs")) == ["j", "k"]


def test_a_plain_body_that_looks_sealed_is_no_trick(tmp_path: Path) -> None:
    """Whoever uploads the bytes of a sealed file gets those bytes back."""
    files = BucketFiles(tmp_path, _SEALER)
    files.put("logs", "k", b"secret", sealing=AES)
    stolen = (tmp_path / "logs/k").read_bytes()
    made = files.put("logs", "mine", stolen)
    assert (made.encryption, made.size, files.read("logs", "mine")) == (None, len(stolen), stolen)
    files.uploads.begin("a" * 16, "logs", "mine", 1.0, {})
    part = files.uploads.put("a" * 16, 1, stolen)
    assert (files.uploads.parts("a" * 16), files.uploads.read("a" * 16, part)) == ([part], stolen)


@pytest.mark.parametrize("sealing", [AES, BY_KEY], ids=["installation's key", "key service"])
def test_parts_of_an_upload_are_sealed(tmp_path: Path, sealing: Sealing) -> None:
    files, id = BucketFiles(tmp_path, _SEALER), "b" * 16
    files.uploads.begin(id, "logs", "k", 1.0, {"content_type": "x/secret"}, sealing)
    first = files.uploads.put(id, 1, b"secret that is replaced", sealing)
    part = files.uploads.put(id, 1, TEXT, sealing)
    assert files.uploads.parts(id) == [part]
    assert first.name != part.name
    upload = files.uploads.find(id)
    assert upload is not None
    assert upload.sealing is not None
    assert (upload.about, upload.sealing.encryption) == ({"content_type": "x/secret"}, sealing.encryption)
    assert files.uploads.read(id, part, lambda _how, _envelope: KEY) == TEXT
    _nowhere(tmp_path, b"secret", b"must not be found", part.etag.encode())
    path = tmp_path / ".uploads" / id / part.name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged):
        files.uploads.parts(id)


def test_without_its_data_key_nothing_is_sealed_with_another(tmp_path: Path) -> None:
    files = BucketFiles(tmp_path, _SEALER)
    with pytest.raises(PermissionError):
        files.put("logs", "k", TEXT, sealing=Sealing(BY_KEY.encryption, envelope=b"e"))
    assert list(files.keys("logs")) == []


def test_older_sealing_keys_open_what_they_sealed_and_others_nothing(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    BucketFiles(tmp_path, Sealer([old])).put("logs", "k", TEXT, sealing=AES)
    assert BucketFiles(tmp_path, Sealer([new, old])).read("logs", "k") == TEXT
    found = BucketFiles(tmp_path, Sealer([new])).find("logs", "k")
    assert found is not None
    assert found.damaged


_WRITER = """
import sys
from pathlib import Path
from ringfence.identity.sealing import Sealer, SealingKey
from ringfence.store.buckets import BucketFiles
from ringfence.store.containers import Encryption, Sealing
files = BucketFiles(Path(sys.argv[1]), Sealer([SealingKey(b"abcd", bytes(32))]))
number = 0
while True:
    for key in ("a", "b"):
        files.put("logs", key, b"%d " % number * 20_000, sealing=Sealing(Encryption("AES256")) if number % 3 else None)
        print(number, flush=True)
    number += 1
"""


def test_kill_9_leaves_objects_whole(tmp_path: Path) -> None:
    from ringfence.identity.sealing import SealingKey

    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(40):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    acknowledged = writer.stdout.read().split() or ["0"]
    writer.wait()
    files = BucketFiles(tmp_path, Sealer([SealingKey(b"abcd", bytes(32))]))
    for key in ("a", "b"):
        body = files.read("logs", key)
        number = int(body.split()[0])
        assert body == b"%d " % number * 20_000
        assert number >= int(acknowledged[-1]) - 1


# ---------------------------------------------------------------------- messages
@settings(max_examples=150, deadline=None)
@given(text=st.binary(max_size=60), other=st.binary(max_size=4), data=st.data())
def test_messages_open_where_they_were_sealed_and_nowhere_else(text: bytes, other: bytes, data: st.DataObject) -> None:
    run, opener = Run(DataKey(7, KEY)), Opener({7: KEY, 8: KEY}.__getitem__)
    run.seal(b"", b"")
    raw = run.seal(text, b"here")
    assert (opener.open(raw, b"here"), sealed.is_message(raw), sealed.key_of(raw)) == (text, True, 7)
    assert len(raw) == len(text) + sealed.OVERHEAD
    at = data.draw(st.integers(0, len(raw) - 1))
    for changed, place in (
        (raw[:at] + bytes([raw[at] ^ (1 << data.draw(st.integers(0, 7)))]) + raw[at + 1 :], b"here"),
        (raw[:at], b"here"),
        (raw + b"x", b"here"),
        (raw, b"there" + other),
        (other, b"here"),
    ):
        with pytest.raises((Damaged, KeyError)):  # KeyError: the id of a key that nobody has
            opener.open(changed, place)

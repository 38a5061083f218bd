"""Objects as files: every key comes back, none leaves its bucket, none is half there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.store.buckets import BucketFiles

AWKWARD = [
    "a",
    "a b",
    "..",
    "../../etc/passwd",
    "./x",
    "x//y",
    "/lead",
    "trail/",
    "%41",
    "%",
    "ü/日本",
    "a\nb",
    "x=1/y=2",
    "-",
    ".objects/z",
]
PARTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.mark.parametrize("key", AWKWARD)
def test_a_key_comes_back_and_stays_inside(tmp_path: Path, key: str) -> None:
    files = BucketFiles(tmp_path / "root")
    files.put("logs", key, b"body", content_type="text/plain", metadata={"who": "me"})
    assert list(files.keys("logs")) == [key]
    assert files.read("logs", key) == b"body"
    about = files.find("logs", key)
    assert about is not None
    assert (about.size, about.content_type, dict(about.metadata)) == (4, "text/plain", {"who": "me"})
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert all((tmp_path / "root") in path.parents for path in tmp_path.rglob("*") if path.is_file())
    files.delete("logs", key)
    assert files.find("logs", key) is None
    assert list(files.keys("logs")) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(keys=st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8, unique=True))
def test_listing_is_in_order_of_bytes(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    files = BucketFiles(tmp_path_factory.mktemp("buckets"))
    kept = []
    for key in keys:
        try:
            files.put("logs", key, key.encode())
            kept.append(key)
        except ValueError:
            continue
    assert list(files.keys("logs")) == sorted(kept, key=str.encode)
    assert [files.read("logs", key).decode() for key in kept] == kept
    prefix = keys[0][:2]
    assert list(files.keys("logs", prefix)) == sorted((key for key in kept if key.startswith(prefix)), key=str.encode)


def test_a_key_is_not_an_object_and_a_folder(tmp_path: Path) -> None:
    files = BucketFiles(tmp_path)
    files.put("logs", "a", b"")
    files.put("logs", "b/c", b"")
    for key in ("a/b", "b"):
        with pytest.raises(ValueError, match="folder"):
            files.put("logs", key, b"")
    with pytest.raises(ValueError, match="longer"):
        files.put("logs", "x" * 300, b"")


def test_a_file_put_there_by_hand_is_an_object(tmp_path: Path) -> None:
    files = BucketFiles(tmp_path)
    made = files.put("logs", "day/one.gz", b"first", metadata={"a": "b"})
    (tmp_path / "logs" / "day" / "one.gz").write_bytes(b"other bytes")
    (tmp_path / "logs" / "day" / "two.gz").write_bytes(b"two")
    about = files.find("logs", "day/one.gz")
    assert about is not None
    assert about.etag != made.etag
    assert dict(about.metadata) == {}
    assert list(files.keys("logs", "day/")) == ["day/one.gz", "day/two.gz"]


def test_replacing_and_parts(tmp_path: Path) -> None:
    files = BucketFiles(tmp_path)
    files.put("logs", "k", b"0123456789")
    assert files.read("logs", "k", 2, 3) == b"234"
    files.put("logs", "k", b"new")
    assert files.read("logs", "k") == b"new"
    assert files.size("logs") == 1
    assert files.size("empty") == 0
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".ringfence-")]

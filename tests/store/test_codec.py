"""The row codec: exact both ways, strict on reading, open to growth."""

from __future__ import annotations

import dataclasses
import enum
import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.model.codec import decode, encode
from ringfence.model.kinds import KINDS
from ringfence.model.net import Address, Network
from ringfence.model.nouns.instance import InstanceState


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Word(enum.StrEnum):
    YES = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    network: Network
    address: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """One field of every shape a row may have."""

    text: str
    number: int
    real: float
    flag: bool
    raw: bytes
    v4: IPv4Address
    v6: IPv6Network
    colour: Colour
    word: Word
    state: InstanceState
    pair: tuple[str, int]
    inner: Inner
    texts: frozenset[str]
    pairs: frozenset[tuple[int, int]] = frozenset()
    many: tuple[Inner, ...] = ()
    nested: tuple[tuple[str, tuple[str, ...]], ...] = ()
    maybe: Inner | None = None
    maybe_text: str | None = "not none"
    maybe_raw: bytes | None = None
    switch: bool = True


TEXT = st.text(max_size=8)
NETWORKS = st.ip_addresses(v=4).map(IPv4Network) | st.ip_addresses(v=6).map(IPv6Network)
INNER = st.builds(Inner, network=NETWORKS, address=st.none() | st.ip_addresses())
OUTER = st.builds(
    Outer, text=TEXT, number=st.integers(), real=st.floats(allow_nan=False), flag=st.booleans(), raw=st.binary(max_size=8),
    v4=st.ip_addresses(v=4), v6=st.ip_addresses(v=6).map(IPv6Network), colour=st.sampled_from(Colour), word=st.just(Word.YES),
    state=st.sampled_from(InstanceState), pair=st.tuples(TEXT, st.integers()), inner=INNER, texts=st.frozensets(TEXT, max_size=3),
    pairs=st.frozensets(st.tuples(st.integers(), st.integers()), max_size=3), many=st.lists(INNER, max_size=3).map(tuple),
    nested=st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=2).map(tuple)), max_size=2).map(tuple), maybe=st.none() | INNER,
    maybe_text=st.none() | TEXT, maybe_raw=st.none() | st.binary(max_size=8), switch=st.booleans(),
)  # fmt: skip


def types(value: object) -> object:
    """The value with the type of everything in it, so that 1, True and 1.0 differ."""
    if dataclasses.is_dataclass(value):
        return type(value), {f.name: types(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, frozenset)):
        return type(value), [types(item) for item in sorted(value, key=repr)]
    return type(value), value


@given(OUTER)
def test_what_is_encoded_is_decoded(value: Outer) -> None:
    back = decode(Outer, encode(value))
    assert back == value
    assert types(back) == types(value)
    assert encode(back) == encode(value)


SAMPLE = Outer(
    text="t", number=1, real=0.5, flag=False, raw=b"\x00", v4=IPv4Address("10.0.0.1"), v6=IPv6Network("fd00::/8"),
    colour=Colour.BLUE, word=Word.YES, state=InstanceState.RUNNING, pair=("a", 2),
    inner=Inner(network=IPv4Network("10.0.0.0/8"), address=IPv6Address("::1")), texts=frozenset({"x"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", 5), ("number", True), ("number", "1"), ("number", 1.0), ("flag", 1), ("raw", 7), ("v4", "10.0.0.256"),
        ("v4", "::1"), ("v6", "10.0.0.0/8"), ("colour", "green"), ("state", 17), ("pair", ["a"]), ("pair", ["a", "b"]),
        ("inner", {"network": "10.0.0.1/8"}), ("inner", {}), ("inner", None), ("texts", [1]), ("unheard_of", 1), ("text", None),
        ("v4", 5), ("texts", "x"), ("pair", "ab"), ("raw", "?"), ("inner", {"network": 5}),
    ],
)  # fmt: skip
def test_damage_is_refused(field: str, value: object) -> None:
    data = json.loads(encode(SAMPLE)) | {field: value}
    with pytest.raises((ValueError, TypeError)):
        decode(Outer, json.dumps(data))


def test_a_field_that_was_not_there_takes_its_default() -> None:
    data = json.loads(encode(SAMPLE))
    assert decode(Outer, json.dumps({name: v for name, v in data.items() if name != "maybe_text"})) == SAMPLE
    del data["text"]
    with pytest.raises(TypeError, match="text"):
        decode(Outer, json.dumps(data))


@pytest.mark.parametrize("noun", sorted(KINDS))
def test_every_kind_of_row_has_a_codec(noun: str) -> None:
    """A row type with a shape the codec does not know must fail here, not at a user's first write."""
    from ringfence.model.codec import decoder, encoder

    row_type = KINDS[noun].row
    assert callable(encoder(row_type))
    assert callable(decoder(row_type))


# ---------------------------------------------------------------------- remembered texts
@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    number: int
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    items: tuple[Item, ...]
    more: tuple[Item, ...] = ()


def test_an_empty_tuple_without_default_is_written() -> None:
    for holder in (
        Holder(items=()),
        Holder(items=(Item(number=1),)),
        Holder(items=(), more=(Item(number=2, text='"'),)),
    ):
        assert decode(Holder, encode(holder)) == holder


def test_the_text_of_an_item_is_never_that_of_another() -> None:
    """Items come and go at the same addresses; equal ones and changed ones each get their own text."""
    kept: list[Holder] = []
    for number in range(50_000):
        holder = Holder(items=(Item(number=number % 7, text=str(number)), *(kept[-1].items[:2] if kept else ())))
        assert decode(Holder, encode(holder)) == holder
        kept = [holder] if number % 3 else []

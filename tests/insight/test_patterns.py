"""Filter patterns of CloudWatch Logs, by the User Guide's own examples and beyond them (MON-06, MON-07)."""

from __future__ import annotations

import json
import sqlite3
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.insight.patterns import PatternError, Sieve, compile_pattern
from ringfence.insight.patterns.parts import needle_in, regex
from ringfence.store.events import Words

APACHE = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
FLOW = "2 123456789010 eni-1235b8ca 10.0.2.15 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 REJECT OK"
FIELDS = (
    "version, account, eni, source, destination, srcport, dstport, protocol, packets, bytes, start, end, action, status"
)
USERS = json.dumps(
    {
        "user": {"id": 1, "email": "John.Stiles@example.com"},
        "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
        "actions": ["GET", "PUT", "DELETE"],
        "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
        "nothing": None,
        "flag": True,
        "latency": 50.5,
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "code": "400",
        "a.b": "dotted",
    }
)
TEXT = ("ERROR WARN message", "ERROR message", "WARN message")


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("", (1, 1, 1)),
        ("ERROR", (1, 1, 0)),
        ("?ERROR ?WARN", (1, 1, 1)),
        ("ERROR WARN", (1, 0, 0)),
        ("ERROR -WARN", (0, 1, 0)),
        ("-WARN", (0, 1, 0)),
        ('"ERROR message"', (0, 1, 0)),
        ('-"ERROR message"', (1, 0, 1)),
        ("error", (0, 0, 0)),
        ("ERR", (1, 1, 0)),
        ("WARN ?nothing", (1, 0, 1)),
        ("%^WARN%", (0, 0, 1)),
        ("%E.R+OR [WM]%", (1, 0, 0)),
        ("?nothing ?%^WARN%", (0, 0, 1)),
        ("-%^ERROR%", (0, 0, 1)),
    ],
)
def test_text(pattern: str, matching: tuple[int, ...]) -> None:
    assert tuple(int(compile_pattern(pattern).matches(message)) for message in TEXT) == matching


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("[ip, user, username, timestamp, request, status_code, bytes]", APACHE, True),
        ("[ip, user, username, timestamp, request, status_code]", APACHE, False),
        ("[ip, user, username, timestamp, request, status_code, bytes > 1000]", APACHE, True),
        ("[ip, user, username, timestamp, request, status_code, bytes > 1534]", APACHE, False),
        ("[ip, user, username, timestamp, request, status_code, bytes >= 1.534e3]", APACHE, True),
        ("[ip, user, username, timestamp, request = *html*, status_code = 4*, bytes]", APACHE, True),
        ("[ip, user, username, timestamp, request, status_code = 4* && status_code != 403, bytes]", APACHE, True),
        ("[ip, user, username, timestamp, request, status_code = 4* && status_code != 404, bytes]", APACHE, False),
        ("[..., status_code, bytes]", APACHE, True),
        ("[ip, user, ..., status_code, bytes < 10]", APACHE, False),
        ("[ip, user, ...]", APACHE, True),
        ("[ip=10.*, ...]", APACHE, False),
        ("[..., request=*.html*, status_code=4*,]", APACHE, True),
        ("[...]", "", True),
        ("[a]", "", False),
        ("[]", "x", True),
        ("[a, b, ...]", "x", False),
        ("[a=%^1[0-9]{2}\\.0%, ...]", APACHE, True),
        ("[w1=ERROR, w2]", "ERROR message", True),
        ("[w1=ERROR || w1=WARN, w2]", "WARN message", True),
        ("[w1!=ERROR && w1!=WARN, w2]", "WARN message", False),
        ("[w1!=ERROR && w1!=WARN, w2]", "INFO message", True),
        ("[(w1=A || w1=B) && w1!=B, w2]", "B x", False),
        ("[w1=A || w1=B && w1!=B, w2]", "A x", True),
        (f"[{FIELDS}]".replace("source,", "source=10.0.2.*,"), FLOW, True),
        (f"[{FIELDS}]".replace("source,", "source=10.0.3.*,"), FLOW, False),
        (f"[{FIELDS}]".replace("bytes,", "bytes>=4249,"), FLOW, True),
        (f"[{FIELDS}]".replace("bytes,", "bytes>4249,"), FLOW, False),
        (f"[{FIELDS}]".replace("dstport,", 'dstport="22" || dstport="3389",'), FLOW, True),
        (f"[{FIELDS}]".replace("dstport,", 'dstport="23" || dstport="3389",'), FLOW, False),
        (
            f"[{FIELDS}]".replace("dstport, protocol,", 'dstport="22", protocol="6",').replace(
                "action", "action=REJECT"
            ),
            FLOW,
            True,
        ),
        (f"[{FIELDS}]".replace("action", "action=ACCEPT"), FLOW, False),
        ("[a, b>5, c]", "x -  y", False),
        ("[a=1, b]", "1.0 x", True),
        ('[a="1", b]', "1.0 x", False),
        ("[a=*, b]", "x y", True),
        ("[a=%, b]", "x y", None),
        ("[a, a]", "x y", None),
        ("[a, b", "x y", None),
        ("[..., ...]", "x y", None),
        ("[a b]", "x y", None),
        ("[a=1 || b=1, c]", "x y", None),
        ("[a>x, b]", "x y", None),
        ('[a>"5", b]', "x y", None),
        ("[a=%(x)%]", "x", None),
        ("[a=%x%||a=%y%||a=%z%]", "x", None),
        ("[a=1 && , b]", "x y", None),
        ("[(a=1, b]", "x y", None),
        ("[a && b]", "x", None),
    ],
)
def test_columns(pattern: str, message: str, matches: bool | None) -> None:
    """MON-07. None: no pattern."""
    if matches is None:
        with pytest.raises(PatternError):
            compile_pattern(pattern)
    else:
        assert compile_pattern(pattern).matches(message) is matches


def test_extracted_values_are_those_of_the_guides_example() -> None:
    assert compile_pattern("[..., request=*.html*, status_code=4*,]").extract(APACHE) == {
        "$status_code": "404",
        "$request": "GET /index.html HTTP/1.0",
        "$7": "1534",
        "$4": "10/Oct/2000:13:25:15 -0700",
        "$3": "frank",
        "$2": "-",
        "$1": "127.0.0.1",
    }
    assert compile_pattern("ERROR").extract("ERROR") == {}
    assert compile_pattern("ERROR").extract("x") is None


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ("{ $.eventType = UpdateTrail }", True),
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ("{ $.sourceIPAddress != 111.111.* }", False),
        ('{ $.actions[0] = "GET" }', True),
        ("{ $.users[1].id = 3 }", True),
        ("{ $.nothing IS NULL }", True),
        ("{ $.eventType IS NULL }", False),
        ("{ $.other NOT EXISTS }", True),
        ("{ $.nothing NOT EXISTS }", False),
        ("{ $.flag IS TRUE }", True),
        ("{ $.flag IS FALSE }", False),
        ("{ $.flag = true }", True),
        ("{ $.nothing IS NOT NULL }", False),
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', True),
        ('{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }', False),
        (
            '{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }',
            True,
        ),
        (
            '{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch) && $.actions[2] = nomatch }',
            False,
        ),
        ("{ $.users = 1 }", False),
        ("{ $.users != 1 }", False),
        ("{ $.other != 1 }", False),
        ("{ $.latency >= 50.5 }", True),
        ("{ $.latency < 10e-3 }", False),
        ("{ $.latency <= +505e-1 }", True),
        ("{ $.code = 400 }", True),
        ("{ $.code > 399 }", True),
        ("{ $.latency = * }", True),
        ("{ $.users[*].id = 3 }", True),
        ("{ $.users[*].id = 4 }", False),
        ("{ $.eventType = *Trail }", True),
        ("{ $.eventType = Up*Trail }", False),
        ("{ $.eventType = %^Update% }", True),
        ("{ $['a.b'] = dotted }", True),
        ("{ $.['a.b'] = dotted }", True),
        ("{ $.eventType > 5 }", False),
        ("{ $.eventType EXISTS }", True),
        ("{ $.a }", None),
        ("{ a = 1 }", None),
        ("{ $ = 1 }", None),
        ("{ $.a = 1", None),
        ("{ $.a == 1 }", None),
        ("{ $.a = }", None),
        ("{ $.a = 1 & $.b = 2 }", None),
        ("{ $.a IS MAYBE }", None),
        ("{ $.a[x] = 1 }", None),
        ("{ ($.a = 1 }", None),
        ("{}", None),
        ("{ $.a > x }", None),
        ("{ $.a = %(x)% }", None),
        ('{ $.a = "x }', None),
    ],
)
def test_documents(pattern: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(PatternError):
            compile_pattern(pattern)
    else:
        assert compile_pattern(pattern).matches(USERS) is matches
        assert not compile_pattern(pattern).matches("no document")
        assert not compile_pattern(pattern).matches("[" * 100_000)


@pytest.mark.parametrize(
    "pattern", ["foo-bar", "a.b", '"open', "%open", "%a!%", "%(a)%", "%é%", "%a% %b% %c%", "%[%", "-", "?"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%a*a*a*a*a*a*a*a*b%", "a" * 200_000),
        ("[...]", "[ " * 200_000),
        ("[...]", '" [' * 100_000 + '"'),
        ("[a, b]", "[ " * 200_000),
        ("[a=%.*.*.*.*x%, ...]", "y" * 200_000),
    ],
)
def test_a_match_takes_linear_time(pattern: str, message: str) -> None:
    """What a client stores must not hold the installation up."""
    compiled = compile_pattern(pattern)
    began = time.process_time()
    compiled.matches(message)
    assert time.process_time() - began < 3


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_a_pattern_or_refused(pattern: str, message: str) -> None:
    for text in (pattern, f"[{pattern}]", f"{{{pattern}}}", f"{{ $.a = {pattern} }}", f"[a={pattern}, ...]"):
        try:
            compiled = compile_pattern(text)
        except PatternError:
            continue
        assert compiled.matches(message) is (compiled.extract(message) is not None)


_WORD = st.text("abcXYZ019_", min_size=1, max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["", "-", "?"]), _WORD), min_size=1, max_size=4), st.lists(_WORD, max_size=6))
def test_terms_mean_what_the_guide_says(terms: list[tuple[str, str]], words: list[str]) -> None:
    message = " ".join(words)
    required = [term for kind, term in terms if kind == ""]
    excluded = [term for kind, term in terms if kind == "-"]
    optional = [term for kind, term in terms if kind == "?"]
    if required or excluded:
        expected = all(t in message for t in required) and not any(t in message for t in excluded)
    else:
        expected = any(t in message for t in optional)
    assert compile_pattern(" ".join(kind + term for kind, term in terms)).matches(message) is expected


_TOKEN = st.text("ab12.-", min_size=1, max_size=4)


@given(st.lists(_TOKEN, max_size=6), st.integers(0, 3), st.integers(0, 3))
def test_columns_stand_where_they_are_written(tokens: list[str], left: int, right: int) -> None:
    names = [f"l{n}" for n in range(left)], [f"r{n}" for n in range(right)]
    values = compile_pattern(f"[{', '.join([*names[0], '...', *names[1]])}]").extract(" ".join(tokens))
    if len(tokens) < left + right:
        assert values is None
        return
    assert values is not None
    assert [values[f"${name}"] for name in names[0]] == tokens[:left]
    assert [values[f"${name}"] for name in names[1]] == tokens[len(tokens) - right :]
    assert len(values) == len(tokens)


# ---------------------------------------------------------------------- what a search may pass over
@pytest.mark.parametrize(
    ("pattern", "sieve"),
    [
        ("ERROR", Sieve(("ERROR",), exact=True)),
        ('A "b c" -D', Sieve(("A", "b c"), none=("D",), exact=True)),
        ("?A ?B", Sieve(some=("A", "B"), exact=True)),
        ("?A ?%b%", Sieve()),
        ("A ?B", Sieve(("A",), (), exact=True)),
        (r"%10\.0\.[0-9]+\.7 %", Sieve(("10.0.",))),
        ("[a, b=REJECT, c=22, d=10.0.2.*]", Sieve(("10.0.2.", "REJECT"))),
        ("[a=x || a=y, b=z]", Sieve(("z",))),
        ("[a, b!=x, c>5]", Sieve()),
        ('{ $.a.b = "x y" && $.n > 5 }', Sieve(("a", "b", "n", "x y"), escaped=True)),
        ('{ $.a = "10.0" }', Sieve(("a",), escaped=True)),  # a message may say 1e1
        ('{ $.a = "5" || $.a IS TRUE }', Sieve(("a",), escaped=True)),
        ("{ $.a NOT EXISTS }", Sieve(escaped=True)),
    ],
)
def test_what_every_match_has(pattern: str, sieve: Sieve) -> None:
    assert compile_pattern(pattern).sieve == sieve


@pytest.mark.parametrize(
    ("source", "needle"),
    [
        ("abc", "abc"), ("ab?cd", "cd"), ("ab*c", "a"), ("ab+cd", "ab"), ("a|b", ""), ("[abc]def", "def"), ("[]x]yz", "yz"),
        ("[[:alpha:]x]long", ""), (r"\d{3}ab", "ab"), (r"\x41bcd", ""), (r"a\.b", "a.b"), (".{3}a", "a"), ("[0-9]{12}-x", "-x"),
        ("^abc$", "abc"), ("a{2,3}b", "b"), (r"\pNabc", ""), (r"\Qab\E", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_needle_of_an_expression(source: str, needle: str) -> None:
    assert needle_in(source) == needle


@given(st.text(alphabet="ab1[]{}?*+.^$\\-,:dx", min_size=1, max_size=12), st.text(alphabet="ab1-,:x.]\\", max_size=8))
def test_what_an_expression_matches_has_its_needle(source: str, text: str) -> None:
    try:
        matches = regex(source)
    except PatternError:
        return
    assert not matches(text) or needle_in(source) in text


_WORDS = st.sampled_from(
    ["a", "b", "ab", "5", "5.0", "1e1", "x y", "\\u0061", "%a.b%", "%b+%", "*a*", "a*", "10", "true"]
)
_VALUES = st.one_of(st.floats(), st.booleans(), st.text("ab15.0ä", max_size=5))
_MESSAGES = st.one_of(
    st.text(alphabet="ab5 .01x\\[]\"", max_size=12),
    st.builds(lambda k, v: json.dumps({k: v}), st.sampled_from("ab"), _VALUES),
    st.sampled_from(['{"a": 5.00}', '{"a": 1e1}', '{"\\u0061": "\\u0061b"}', '{"a": "a\\"b"}', '{"a": 10}']),
)  # fmt: skip


@given(st.sampled_from(["{0}", "-{0}", "?{0} ?{1}", "{0} {1}", "[x={0}, ...]", "[x={0} || x={1}, y]", "[..., x!={0}]",
                        "{{ $.a = {0} }}", "{{ $.a = {0} || $.b = {1} }}", "{{ $.a != {0} && $.a EXISTS }}"]),
       _WORDS, _WORDS, st.booleans(), _MESSAGES)  # fmt: skip
def test_the_store_passes_over_nothing_that_matches(form: str, one: str, two: str, quoted: bool, message: str) -> None:
    values = [f'"{word}"' if quoted and "%" not in word else word for word in (one, two)]
    try:
        pattern = compile_pattern(form.format(*values))
    except PatternError:
        return
    sieve = pattern.sieve
    passes = _passes(sieve, message)
    assert passes or not pattern.matches(message)
    assert not sieve.exact or passes == pattern.matches(message)


def _passes(sieve: Sieve, message: str) -> bool:
    """As the store asks SQLite."""
    condition, given = Words(sieve.every, sieve.some, sieve.none, sieve.escaped).condition()
    query = f"select {condition} from (select ? as message)"
    found: int = _DB.execute(query, (*given, message)).fetchone()[0]
    return bool(found)


_DB = sqlite3.connect(":memory:", check_same_thread=False)


_NUMBERS = st.one_of(
    st.integers(0, 12_000).map(str), st.sampled_from(["-", "-5", "+70", "7e3", "1E-2", "12.50", ".5", "5.", "007", "0", "1e", "x9"]),
)  # fmt: skip
_LINE = st.one_of(
    st.lists(st.one_of(_NUMBERS, st.sampled_from(["a", "[b", "c]", '"', "é", "\u2003"])), max_size=5).map(" ".join),
    st.text(alphabet="a1 .\n\té[\x0b", max_size=8),
)


@given(
    st.lists(_LINE, min_size=1, max_size=8),
    st.sampled_from(["[x{0}, y]", "[x, y{0}, ...]", "[..., x{0}, y]", "[x{0} || x{1}, ...]", "[x, ..., y{0}]", "[x{0}, ..., y{1}]"]),
    st.lists(st.tuples(st.sampled_from([">", ">=", "<", "<=", "="]), st.sampled_from(["0", "5", "10", "999", "1000", "10.5", "7e3", "70"])),
             min_size=2, max_size=2),
)  # fmt: skip
def test_numbers_of_many_messages_at_once(messages: list[str], shape: str, conditions: list[tuple[str, str]]) -> None:
    """MON-07: what is passed over beforehand never matches; what is kept is asked."""
    pattern = compile_pattern(shape.format(*("".join(each) for each in conditions)))
    assert pattern.sieve.among is not None
    kept = pattern.sieve.among(messages)
    assert kept == sorted(set(kept))
    assert {n for n, message in enumerate(messages) if pattern.matches(message)} <= set(kept)


@given(
    st.lists(_LINE, min_size=1, max_size=8),
    st.sampled_from(["^1", "1$", "^a?1$", "[^a]1", "^$", ".", "^.{3}$", "a.a", r"\b1\b", r"\s1", r"1\s*$", "1|^a", r"\B1", "x*"]),
)  # fmt: skip
@example([""], "^$")
@example(["1", ""], "^$")
@example(["", "", "1"], "x*")
def test_an_expression_over_many_messages_at_once(messages: list[str], source: str) -> None:
    pattern = compile_pattern(f"%{source}%")
    assert pattern.sieve.among is not None
    kept = pattern.sieve.among(messages)
    assert kept == sorted(set(kept))
    assert {n for n, message in enumerate(messages) if pattern.matches(message)} <= set(kept)


def test_most_of_many_messages_are_passed_over() -> None:
    """Else it would be right, and of no use."""
    lines = [FLOW.replace("4249", str(number)) for number in range(3000, 5000)]
    for pattern, found in (
        (f"[{FIELDS}]".replace("bytes", "bytes>=4900"), 100), ("[..., bytes<=3009, x1, x2, x3, x4]", 10), (r"%\s30[0-4]\d\s%", 50),
    ):  # fmt: skip
        among = compile_pattern(pattern).sieve.among
        assert among is not None
        assert len(among(lines)) == found
    assert compile_pattern(r"%\A1%").sieve.among is None

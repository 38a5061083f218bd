"""Real packets between two places, watched on both sides (`ringfence probe`).

The agent makes every socket itself inside the namespaces concerned, so a probe needs no program in the guest. Capture
sockets tell whether packets arrived whatever the listener did with them.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from dnslib import DNSRecord

from ringfence.dataplane import linux, topology
from ringfence.dataplane.network import Network
from ringfence.dataplane.services import dhcp, ntp
from ringfence.model import endpoints
from ringfence.model.net import Address, parse_address

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
_ANSWERS = {8: 0, 13: 14, 128: 129}
_ETH_P_ALL = 3
EVERYONE = IPv4Address("255.255.255.255")
#: made now: an agent that has given up its privileges may be unable to read the codecs of Python any more
_QUERY: bytes = DNSRecord.question("ringfence.probe").pack()


def _hello() -> bytes:
    """What a client of TLS says first."""
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(heard, said, server_hostname="s3.amazonaws.com").do_handshake()
    return said.read()


_HELLO: bytes = _hello()


@dataclass(frozen=True, slots=True)
class Spec:
    """What to send. `seen_*`: the addresses as the other side sees them (public ones exchanged)."""

    source: Address
    destination: Address  # as the sender writes it
    inner: Address  # as the receiver has it
    protocol: int
    port: int
    sport: int
    icmp_type: int
    icmp_code: int
    count: int
    size: int
    timeout: float
    service: bool  # to the router itself: its resolver and metadata service answer only what they understand

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET if self.source.version == 4 else socket.AF_INET6


_turns: dict[Any, threading.Lock] = collections.defaultdict(threading.Lock)


def probe(network: Network, request: dict[str, Any]) -> dict[str, Any]:
    """The result as DESIGN section 5 shows it. Probes of one listening port take turns: each brings its own listener."""
    with _turns[request["inner"], request["protocol"], request["port"]]:
        return _probe(network, request)


def _probe(network: Network, request: dict[str, Any]) -> dict[str, Any]:
    spec = Spec(
        source=parse_address(request["source"]), destination=parse_address(request["destination"]),
        inner=parse_address(request["inner"]), protocol=request["protocol"], port=request["port"],
        sport=request["source_port"], icmp_type=request["icmp_type"], icmp_code=request["icmp_code"],
        count=request["count"], size=request["size"], timeout=request["timeout"],
        service=request["to"] is None and request["from"]["kind"] == "interface",
    )  # fmt: skip
    with ExitStack() as stack:
        sender = _open(stack, _place(network, request["from"]))
        receiver = _open(stack, _place(network, request["to"])) if request["to"] else None
        capture = Capture(stack, spec, sender, receiver)
        answering = receiver is not None and _Answering(stack, spec, receiver)
        outcome = _SENDERS.get(spec.protocol, _raw)(stack, spec, sender)
        capture.settle(outcome, bool(answering))
    return {
        "outcome": outcome.name,
        # nothing watches at the router's services: an answer shows that the question arrived
        "forward_delivered": capture.forward > 0 or (spec.service and outcome.received > 0),
        "reply_delivered": capture.back > 0,
        "sent": outcome.sent,
        "received": outcome.received,
        "seen_source": capture.seen_source,
    }


def _place(network: Network, place: dict[str, str]) -> str:
    if place["kind"] == "interface":
        return network.place_of(place["id"])
    return network.outside_host(parse_address(place["id"]))


def _open(stack: ExitStack, name: str) -> int:
    netns = topology.open_namespace(name)
    stack.callback(os.close, netns)
    return netns


@contextmanager
def _quiet() -> Iterator[None]:
    """Errors that mean only that nothing more will come."""
    try:
        yield
    except OSError:
        return


@dataclass
class Outcome:
    """What the sender saw."""

    name: str = "dropped"
    sent: int = 0
    received: int = 0


# ---------------------------------------------------------------------- watching
class Capture:
    """Counts the probe's packets where they arrive: forward at the receiver, back at the sender."""

    def __init__(self, stack: ExitStack, spec: Spec, sender: int, receiver: int | None) -> None:
        self._spec, self.forward, self.back, self.seen_source = spec, 0, 0, ""
        self._at_sender = self._socket(stack, sender)
        self._at_receiver = self._socket(stack, receiver) if receiver is not None else None

    def _socket(self, stack: ExitStack, netns: int) -> socket.socket:
        with linux.inside(netns):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        sock.setblocking(False)
        stack.callback(sock.close)
        return sock

    def settle(self, outcome: Outcome, answering: bool) -> None:
        """Read what was captured; waits a little for the last packets."""
        spec = self._spec
        pings = spec.service and spec.protocol == ICMP  # only an answer shows that a service heard it
        needs_reply = spec.protocol not in (TCP, UDP) and (answering or pings)
        deadline = time.monotonic() + (spec.timeout if needs_reply or outcome.sent else 0)
        while True:
            self._drain()
            if needs_reply and (self.forward or pings) and self.back:
                outcome.name, outcome.received = "ok", min(self.back, outcome.sent)
            done = outcome.name in ("ok", "refused", "no-route")
            if done or time.monotonic() > deadline:
                return
            socks = [sock for sock in (self._at_sender, self._at_receiver) if sock is not None]
            select.select(socks, [], [], max(0.0, deadline - time.monotonic()))

    def _drain(self) -> None:
        if self._at_receiver is not None:
            for source, sport in self._matching(self._at_receiver, to=self._spec.inner, forward=True):
                self.forward += 1
                text = f"[{source}]" if source.version == 6 else str(source)
                self.seen_source = f"{text}:{sport}" if self._spec.protocol in (TCP, UDP) else str(source)
        self.back += sum(1 for _ in self._matching(self._at_sender, to=self._spec.source, forward=False))

    def _matching(self, sock: socket.socket, *, to: Address, forward: bool) -> Iterator[tuple[Address, int]]:
        while True:
            try:
                data, where = sock.recvfrom(65536)
            except BlockingIOError:
                return
            if where[2] == socket.PACKET_OUTGOING:
                continue
            found = _parse(data)
            if found is None or found[2] != self._spec.protocol or found[1] != to:
                continue
            source, _, _, payload = found
            if self._fits(payload, forward=forward) and (forward or source == self._spec.destination):
                yield source, int.from_bytes(payload[:2], "big")

    def _fits(self, payload: bytes, *, forward: bool) -> bool:
        spec = self._spec
        if spec.protocol in (TCP, UDP):
            sport, dport = struct.unpack_from(">HH", payload) if len(payload) >= 4 else (0, 0)
            return bool((dport if forward else sport) == spec.port)
        if spec.protocol in (ICMP, ICMPV6):
            wanted = spec.icmp_type if forward else _ANSWERS.get(spec.icmp_type, spec.icmp_type)
            return len(payload) >= 2 and payload[0] == wanted
        return True


def _parse(data: bytes) -> tuple[Address, Address, int, bytes] | None:
    """(source, destination, protocol, payload) of an IP packet."""
    if not data:
        return None
    if data[0] >> 4 == 4 and len(data) >= 20:
        length = (data[0] & 15) * 4
        return _address(data[12:16]), _address(data[16:20]), data[9], data[length:]
    if data[0] >> 4 == 6 and len(data) >= 40:
        return _address(data[8:24]), _address(data[24:40]), data[6], data[40:]
    return None


def _address(raw: bytes) -> Address:
    return parse_address(socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw))


# ---------------------------------------------------------------------- answering
class _Answering:
    """Something that answers at the receiver, if nothing does already."""

    def __init__(self, stack: ExitStack, spec: Spec, receiver: int) -> None:
        self._spec = spec
        echo = spec.protocol in (ICMP, ICMPV6) and spec.icmp_type in (8, 128)
        if echo:
            return  # the receiver's kernel answers
        with linux.inside(receiver):
            try:
                sock = self._listener()
            except OSError as problem:
                if problem.errno != errno.EADDRINUSE:
                    raise
                return  # somebody listens
        stack.callback(sock.close)
        stack.callback(_shut, sock)
        threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _listener(self) -> socket.socket:
        spec = self._spec
        kind = {TCP: socket.SOCK_STREAM, UDP: socket.SOCK_DGRAM}.get(spec.protocol, socket.SOCK_RAW)
        sock = socket.socket(spec.family, kind, spec.protocol if kind == socket.SOCK_RAW else 0)
        try:
            if spec.family == socket.AF_INET6 and kind != socket.SOCK_RAW:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((str(spec.inner), spec.port if kind != socket.SOCK_RAW else 0))
            if kind == socket.SOCK_STREAM:
                sock.listen(64)
        except OSError:
            sock.close()
            raise
        return sock

    def _serve(self, sock: socket.socket) -> None:
        serve = {TCP: self._tcp, UDP: self._udp}.get(self._spec.protocol, self._other)
        with _quiet():
            serve(sock)

    def _tcp(self, sock: socket.socket) -> None:
        while True:
            connection, _ = sock.accept()
            with connection, _quiet():
                connection.settimeout(self._spec.timeout)
                while data := connection.recv(65536):
                    connection.sendall(data)

    def _udp(self, sock: socket.socket) -> None:
        while True:
            data, peer = sock.recvfrom(65536)
            if peer is None:  # shut down
                return
            sock.sendto(data, peer)

    def _other(self, sock: socket.socket) -> None:
        """Send back one packet of the same protocol (ICMP: of the answering type) for each that comes."""
        spec = self._spec
        while True:
            data, peer = sock.recvfrom(65536)
            if peer is None:
                return
            payload = data[(data[0] & 15) * 4 :] if spec.family == socket.AF_INET else data
            if spec.protocol in (ICMP, ICMPV6):
                if payload[0] != spec.icmp_type:
                    continue
                sock.sendto(
                    _icmp(_ANSWERS.get(spec.icmp_type, spec.icmp_type), spec.icmp_code, spec, payload[8:]), peer
                )
                if spec.icmp_type not in _ANSWERS:
                    return  # the answer is of the same type: do not answer answers
            else:
                sock.sendto(payload, (peer[0], 0))


def _shut(sock: socket.socket) -> None:
    with _quiet():
        sock.shutdown(socket.SHUT_RDWR)


# ---------------------------------------------------------------------- sending
def _bound(stack: ExitStack, spec: Spec, netns: int, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
    with linux.inside(netns):
        sock = socket.socket(spec.family, kind, protocol)
    stack.callback(sock.close)
    sock.settimeout(spec.timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((str(spec.source), spec.sport if protocol == 0 else 0))
    return sock


def _tcp(stack: ExitStack, spec: Spec, netns: int) -> Outcome:
    outcome = Outcome()
    for _ in range(spec.count):
        sock = _bound(stack, spec, netns, socket.SOCK_STREAM)
        # a closing sender leaves no TIME_WAIT that would bar its port to the next probe
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        outcome.sent += 1
        try:
            sock.connect((str(spec.destination), spec.port))
            question = _question(spec, 0)
            sock.sendall(question)
            got, wanted = 0, 1 if spec.service else len(question)
            while got < wanted:
                part = sock.recv(65536)
                if not part:
                    break
                got += len(part)
            outcome.received += got >= wanted
        except ConnectionRefusedError:
            outcome.name = "refused"
        except TimeoutError:
            outcome.name = "dropped"
        except OSError as problem:
            outcome.name = _named(problem)
        sock.close()
    return _judged(outcome)


def _udp(stack: ExitStack, spec: Spec, netns: int) -> Outcome:
    outcome = Outcome()
    sock = _bound(stack, spec, netns, socket.SOCK_DGRAM)
    try:
        to = (str(spec.destination), spec.port)
        if spec.destination == EVERYONE:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        else:
            sock.connect(to)  # then refusals are heard
        for number in range(spec.count):
            sock.sendto(_question(spec, number), to)
            outcome.sent += 1
        while outcome.received < spec.count:
            sock.recv(65536)
            outcome.received += 1
    except TimeoutError:
        outcome.name = "dropped"
    except ConnectionRefusedError:
        outcome.name = "refused"
    except OSError as problem:
        outcome.name = _named(problem)
    return _judged(outcome)


def _question(spec: Spec, number: int) -> bytes:
    """What a TCP or UDP probe says: something a service answers, else `size` bytes that begin with a number."""
    if spec.service and spec.port == 53:
        return _QUERY if spec.protocol == UDP else len(_QUERY).to_bytes(2, "big") + _QUERY
    if spec.service and spec.protocol == UDP and spec.port == dhcp.SERVER_PORT and isinstance(spec.source, IPv4Address):
        return dhcp.inform(spec.source)
    if spec.service and spec.protocol == UDP and spec.port == ntp.PORT:
        return ntp.question()
    if spec.service and spec.port == endpoints.PORT and spec.protocol == TCP:
        return _HELLO
    if spec.service and spec.port == 80 and spec.protocol == TCP:
        return b"GET /latest/meta-data/ HTTP/1.0\r\nHost: metadata\r\n\r\n"
    return number.to_bytes(4, "big")[: spec.size].ljust(spec.size, b"r")


def _raw(stack: ExitStack, spec: Spec, netns: int) -> Outcome:
    """Any other protocol: sent raw; what came back is told by capture."""
    outcome = Outcome()
    sock = _bound(stack, spec, netns, socket.SOCK_RAW, spec.protocol)
    try:
        for _ in range(spec.count):
            payload = bytes(spec.size)
            if spec.protocol in (ICMP, ICMPV6):
                payload = _icmp(spec.icmp_type, spec.icmp_code, spec, payload)
            sock.sendto(payload, (str(spec.destination), 0))
            outcome.sent += 1
    except OSError as problem:
        outcome.name = _named(problem)
    return outcome


_SENDERS = {TCP: _tcp, UDP: _udp}


def _judged(outcome: Outcome) -> Outcome:
    if outcome.sent and outcome.received == outcome.sent:
        outcome.name = "ok"
    return outcome


def _named(problem: OSError) -> str:
    if problem.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "no-route"
    if problem.errno in (errno.ECONNRESET, errno.EPIPE):
        return "dropped"
    raise problem


def _icmp(kind: int, code: int, spec: Spec, payload: bytes) -> bytes:
    """An ICMP message; the kernel fills in ICMPv6 checksums."""
    head = struct.pack(">BBHHH", kind, code, 0, 0x5246, 1)
    if spec.protocol == ICMPV6:
        return head + payload
    return struct.pack(">BBHHH", kind, code, _checksum(head + payload), 0x5246, 1) + payload


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

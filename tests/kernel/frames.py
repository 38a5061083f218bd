"""Ethernet frames from policy packets, and back: what crafted-packet tests send and capture."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from ringfence.model.net import Address
from ringfence.policy.packet import Packet

MAGIC = b"RF"
SYN, ACK, RST, FIN = 0x02, 0x10, 0x04, 0x01


def checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _pseudo(src: Address, dst: Address, protocol: int, length: int) -> bytes:
    if src.version == 4:
        return src.packed + dst.packed + struct.pack(">BBH", 0, protocol, length)
    return src.packed + dst.packed + struct.pack(">II", length, protocol)


def _with_checksum(segment: bytes, at: int, pseudo: bytes) -> bytes:
    value = checksum(pseudo + segment) or 0xFFFF
    return segment[:at] + struct.pack(">H", value) + segment[at + 2 :]


def transport(packet: Packet, payload: bytes, flags: int = SYN, sequence: int = 1000, acknowledge: int = 0) -> bytes:
    """The layer-4 header and payload."""
    p = packet
    if p.protocol == 6:
        head = struct.pack(">HHIIBBHHH", p.sport, p.dport, sequence, acknowledge, 5 << 4, flags, 65535, 0, 0)
        return _with_checksum(head + payload, 16, _pseudo(p.src, p.dst, 6, len(head) + len(payload)))
    if p.protocol == 17:
        head = struct.pack(">HHHH", p.sport, p.dport, 8 + len(payload), 0)
        return _with_checksum(head + payload, 6, _pseudo(p.src, p.dst, 17, len(head) + len(payload)))
    if p.protocol == 1:
        head = struct.pack(">BBHHH", p.icmp_type, p.icmp_code, 0, p.sport or 7, 1)
        return _with_checksum(head + payload, 2, b"")
    if p.protocol == 58:
        head = struct.pack(">BBHHH", p.icmp_type, p.icmp_code, 0, p.sport or 7, 1)
        return _with_checksum(head + payload, 2, _pseudo(p.src, p.dst, 58, len(head) + len(payload)))
    return payload


def network(
    packet: Packet, body: bytes, *, ttl: int = 64, ident: int = 1, fragment: int = 0, dont: bool = False
) -> bytes:
    """The IP header and its body; `fragment` = flags and offset field of IPv4."""
    src, dst = packet.src, packet.dst
    if isinstance(src, IPv4Address):
        field = fragment | (0x4000 if dont else 0)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), ident, field, ttl, packet.protocol, 0)
        head += src.packed + dst.packed
        return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body
    return struct.pack(">IHBB", 6 << 28, len(body), packet.protocol, ttl) + src.packed + dst.packed + body


def datagram(packet: Packet, marker: int = 0, *, size: int = 0, flags: int = SYN, **ip: object) -> bytes:
    """An IP packet whose payload carries `marker`."""
    payload = (MAGIC + struct.pack(">I", marker)).ljust(size, b".")
    return network(packet, transport(packet, payload, flags), **ip)  # type: ignore[arg-type]


def ethernet(destination: str, source: str, body: bytes) -> bytes:
    kind = 0x0800 if body[0] >> 4 == 4 else 0x86DD
    return _mac(destination) + _mac(source) + struct.pack(">H", kind) + body


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


@dataclass(frozen=True)
class Seen:
    """A captured packet: addresses, protocol, ports (or ICMP type and code), marker if it was one of ours."""

    src: Address
    dst: Address
    protocol: int
    sport: int
    dport: int
    marker: int | None
    body: bytes
    offset: int = 0  # of a fragment, in bytes
    ttl: int = 0


def parse(frame: bytes) -> Seen | None:
    """An IP packet in an Ethernet frame; None for anything else."""
    kind = struct.unpack(">H", frame[12:14])[0]
    data = frame[14:]
    if kind == 0x0800:
        head, protocol = (data[0] & 15) * 4, data[9]
        offset, ttl = (struct.unpack(">H", data[6:8])[0] & 0x1FFF) * 8, data[8]
        src, dst, body = (
            ip_address(data[12:16]),
            ip_address(data[16:20]),
            data[head : struct.unpack(">H", data[2:4])[0]],
        )
    elif kind == 0x86DD:
        offset, ttl = 0, data[7]
        protocol, src, dst = data[6], IPv6Address(data[8:24]), IPv6Address(data[24:40])
        body = data[40 : 40 + struct.unpack(">H", data[4:6])[0]]
    else:
        return None
    sport, dport = struct.unpack(">HH", body[:4]) if len(body) >= 4 else (0, 0)
    at = body.find(MAGIC)
    marker = struct.unpack(">I", body[at + 2 : at + 6])[0] if at >= 0 and len(body) >= at + 6 else None
    return Seen(src, dst, protocol, sport, dport, marker, body, offset, ttl)


def packet_socket(interface: str) -> socket.socket:
    """A raw socket on a link of the current namespace; reads every incoming frame."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    raw.bind((interface, 3))
    raw.setblocking(False)
    return raw

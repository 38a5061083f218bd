"""Which links hand on what the wire would carry: no segmentation left to a device that is none (docs/adr/0010).

A TCP stack hands its device up to 64 KiB in one piece, and a veth passes it on as it is: what then crosses the router is one
packet of many. Where packets are counted, that must not be: with these features off, the kernel cuts the piece to packets
as it enters the link. Pieces of TCP may stay whole where a program tells their segments (segments.py).
Sources: ethtool(8), linux/ethtool.h (ETHTOOL_GFEATURES, ETHTOOL_SFEATURES).
"""

from __future__ import annotations

import ctypes
import enum
import fcntl
import socket
import struct
from collections.abc import Iterator

from ringfence.dataplane import linux

_SIOCETHTOOL = 0x8946
_GSTRINGS, _GSSET_INFO, _GFEATURES, _SFEATURES = 0x1B, 0x37, 0x3A, 0x3B
_FEATURE_NAMES = 4  # ETH_SS_FEATURES
_NAME = 32
_KNOWN: list[tuple[str, ...]] = []  # asked once


class Cut(enum.Enum):
    """What is cut to packets as it enters a link."""

    NOTHING = "nothing"
    UNTOLD = "all but TCP"
    ALL = "all"

    def takes(self, feature: str) -> bool:
        """May the link take several packets in one piece with this feature? Generic segmentation only prepares them."""
        pieces = feature.endswith("-segmentation") and feature != "tx-generic-segmentation"
        if feature != "tx-gso-list" and not (feature.startswith("tx-") and pieces):
            return True
        return self is Cut.NOTHING or (self is Cut.UNTOLD and feature.startswith("tx-tcp"))


def cut_to_packets(namespace: int, device: str, cut: Cut = Cut.ALL) -> None:
    """Let what enters the link be cut to packets first, or no longer. OSError when there is no such link."""
    with linux.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        names = _names(sock, device)
        words = [[0, 0] for _ in range((len(names) + 31) // 32)]
        for number, name in enumerate(names):
            if not Cut.ALL.takes(name):
                words[number // 32][0] |= 1 << number % 32
                words[number // 32][1] |= cut.takes(name) << number % 32
        _ask(sock, device, struct.pack("=II", _SFEATURES, len(words)) + b"".join(struct.pack("=II", *w) for w in words))


def cuts_to_packets(namespace: int, device: str, cut: Cut = Cut.ALL) -> bool:
    """Is at least that cut as it enters the link? OSError when there is no such link."""
    with linux.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        names = _names(sock, device)
        return all(cut.takes(names[number]) for number in _active(sock, device, len(names)))


def _active(sock: socket.socket, device: str, count: int) -> Iterator[int]:
    """The numbers of the features that are on."""
    size = (count + 31) // 32
    got = _ask(sock, device, struct.pack("=II", _GFEATURES, size) + bytes(16 * size))
    for number in range(count):
        (active,) = struct.unpack_from("=I", got, 8 + 16 * (number // 32) + 8)
        if active >> number % 32 & 1:
            yield number


def _names(sock: socket.socket, device: str) -> tuple[str, ...]:
    """The kernel's features by number; they differ from one kernel to another, not from link to link."""
    if not _KNOWN:
        got = _ask(sock, device, struct.pack("=IIQI", _GSSET_INFO, 0, 1 << _FEATURE_NAMES, 0))
        (count,) = struct.unpack_from("=I", got, 16)
        got = _ask(sock, device, struct.pack("=III", _GSTRINGS, _FEATURE_NAMES, count) + bytes(_NAME * count))
        texts = (got[12 + _NAME * n : 12 + _NAME * (n + 1)] for n in range(count))
        _KNOWN.append(tuple(text.partition(b"\0")[0].decode() for text in texts))
    return _KNOWN[0]


def _ask(sock: socket.socket, device: str, request: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(request, len(request))
    fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), ctypes.addressof(buffer)))
    return buffer.raw

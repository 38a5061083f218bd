"""What a piece of many segments tells about itself, so that rules can count the segments (docs/adr/0016). Pure.

A TCP stack hands over up to 64 KiB in one piece, with one header. Rules see its length, not how many segments it is. A program
at the entrance of the router's links sees that, and writes it into the packet's priority, which the kernel sets to 0 whenever
a packet passes a veth, and which nothing here uses. 0: an ordinary packet. Else a *piece*: how many segments more than one
(lower half) and the bytes of header that each of them repeats (upper half): what the kernel itself would cut it to.

`UNTOLD`: a piece that the program cannot say it of: of another protocol than TCP, a fragment, with more than eight extension
headers, or an IPv6 packet longer than its header can say. Such packets are counted as lost: nobody takes the number for exact.

Sources: linux/bpf.h (struct __sk_buff); net/ipv4/tcp_offload.c, net/ipv6/ip6_offload.c: what is cut where.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.dataplane.bpf import (
    Label,
    Line,
    assembled,
    call,
    copy,
    do,
    from_network,
    jump,
    jump_compared,
    jump_if,
    leave,
    load,
    move_address,
    store,
    use,
)

UNTOLD = 0xFFFFFFFF
NAME = "segments"
_LENGTH, _PROTOCOL, _PRIORITY, _PIECE = 0, 16, 32, 176  # of __sk_buff: len, protocol, priority, gso_size
_LOAD_RELATIVE, _FROM_NETWORK_HEADER = 68, 1  # bpf_skb_load_bytes_relative
_GO_ON = UNTOLD  # TC_ACT_UNSPEC: no verdict
_ETHERNET = 14
_TCP = 6
_EXTENSIONS = (0, 43, 60)  # what the kernel finds the TCP header behind: hop-by-hop, routing, destination options
_MOST_EXTENSIONS = 8
_LEAST_HEADER = 40  # of IPv4 and TCP
#: registers: the packet, the length of its headers, the payload of a segment, its whole length
_PACKET, _HEADER, _SEGMENT, _WHOLE = 6, 7, 8, 9
_STACK, _BUFFER = 10, -40


def told(priority: int) -> tuple[int, int] | None:
    """(segments, bytes of header that each but the first adds) of a packet; None when that is not known: also when it is not
    the program's doing, as where the kernel was let make a priority of the service class again."""
    more, header = priority & 0xFFFF, priority >> 16
    if priority and (priority == UNTOLD or not more or header < _LEAST_HEADER):
        return None
    return more + 1, header


def program() -> bytes:
    """The program, ready to be loaded."""
    return assembled(_lines())


def _lines() -> Iterator[Line]:
    yield load(2, 1, _PIECE)
    yield jump_if(2, "==", 0, "ordinary")
    yield copy(_PACKET, 1)
    yield use(_SEGMENT, "=", 2)
    yield load(2, _PACKET, _PROTOCOL)
    yield from_network(2, 2)
    yield jump_if(2, "==", 0x0800, "four")
    yield jump_if(2, "!=", 0x86DD, "untold")
    yield from _six()
    yield Label("four")
    yield from _four()
    yield Label("tcp")
    yield from _tcp()
    yield Label("untold")
    yield do(2, "=", UNTOLD)
    yield Label("tell")
    yield store(_PACKET, _PRIORITY, 2)
    yield Label("ordinary")
    yield do(0, "=", _GO_ON)
    yield leave()


def _first_bytes(size: int) -> Iterator[Line]:
    """The packet's first bytes, from its network header on, into the buffer."""
    yield do(2, "=", 0)
    yield from _read(size)


def _bytes_behind(offset: int, size: int) -> Iterator[Line]:
    """Bytes so far behind the headers known by now, into the buffer."""
    yield use(2, "=", _HEADER)
    yield do(2, "+", offset)
    yield from _read(size)


def _read(size: int) -> Iterator[Line]:
    """The offset is in register 2."""
    yield copy(1, _PACKET)
    yield copy(3, _STACK)
    yield move_address(3, _BUFFER)
    yield do(4, "=", size)
    yield do(5, "=", _FROM_NETWORK_HEADER)
    yield call(_LOAD_RELATIVE)
    yield jump_if(0, "!=", 0, "untold")


def _four() -> Iterator[Line]:
    yield from _first_bytes(20)
    yield load(_HEADER, _STACK, _BUFFER, 1)
    yield use(2, "=", _HEADER)
    yield do(2, ">>", 4)
    yield jump_if(2, "!=", 4, "untold")
    yield do(_HEADER, "&", 15)
    yield do(_HEADER, "<<", 2)
    yield jump_if(_HEADER, "<", 20, "untold")
    yield load(2, _STACK, _BUFFER + 6, 2)
    yield from_network(2, 2)
    yield do(2, "&", 0x3FFF)  # a fragment, or more to come
    yield jump_if(2, "!=", 0, "untold")
    yield load(2, _STACK, _BUFFER + 9, 1)
    yield jump_if(2, "!=", _TCP, "untold")
    yield load(_WHOLE, _STACK, _BUFFER + 2, 2)
    yield from_network(_WHOLE, 2)
    yield jump_if(_WHOLE, "!=", 0, "tcp")  # what a packet has behind its end is cut off later
    yield load(_WHOLE, _PACKET, _LENGTH)  # longer than the header can say
    yield do(_WHOLE, "-", _ETHERNET)


def _six() -> Iterator[Line]:
    yield from _first_bytes(40)
    yield load(_WHOLE, _STACK, _BUFFER + 4, 2)
    yield from_network(_WHOLE, 2)
    yield jump_if(_WHOLE, "==", 0, "untold")  # its length is in an option, which is left out when it is cut
    yield do(_WHOLE, "+", 40)
    yield do(_HEADER, "=", 40)
    yield load(0, _STACK, _BUFFER + 6, 1)
    for number in range(_MOST_EXTENSIONS):
        yield jump_if(0, "==", _TCP, "tcp")
        yield from (jump_if(0, "==", kind, f"extension {number}") for kind in _EXTENSIONS)
        yield jump("untold")
        yield Label(f"extension {number}")
        yield from _bytes_behind(0, 2)
        yield load(0, _STACK, _BUFFER, 1)
        yield load(2, _STACK, _BUFFER + 1, 1)
        yield do(2, "+", 1)
        yield do(2, "<<", 3)
        yield use(_HEADER, "+", 2)
    yield jump_if(0, "==", _TCP, "tcp")
    yield jump("untold")


def _tcp() -> Iterator[Line]:
    yield from _bytes_behind(12, 1)
    yield load(2, _STACK, _BUFFER, 1)
    yield do(2, ">>", 4)
    yield do(2, "<<", 2)
    yield jump_if(2, "<", 20, "untold")
    yield use(_HEADER, "+", 2)
    yield jump_compared(_WHOLE, "<=", _HEADER, "untold")
    yield use(2, "=", _WHOLE)
    yield use(2, "-", _HEADER)
    yield do(2, "-", 1)
    yield use(2, "/", _SEGMENT)
    yield jump_if(2, "==", 0, "tell")
    yield jump_if(2, ">", 0xFFFF, "untold")
    yield do(_HEADER, "<<", 16)
    yield use(2, "|", _HEADER)
    yield jump("tell")

"""The few Linux calls Python lacks: unshare, setns, mount, prctl, and sending file descriptors."""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 23, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SYS_CLONE3 = 435  # on every architecture
_SIOCGSKNS = 0x894C

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)  # its calls keep the interpreter's lock


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int = 0) -> None:
    """setns(2); for a network namespace it concerns the calling thread only."""
    _check(_libc.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _check(_libc.mount(*arguments), f"mount {target}")


def unmount(target: str) -> None:
    """umount2(2), lazily."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def die_with_parent() -> None:
    """SIGKILL this process when its parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def fork(flags: int = 0) -> int:
    """os.fork(), the child in new namespaces (clone3(2)); with CLONE_NEWPID it is the first process of a pid namespace.

    Then the kernel ends everything in that namespace with it, before it can be waited for. The caller's process has one
    thread. OSError.
    """
    arguments = (ctypes.c_uint64 * 8)(flags, 0, 0, 0, signal.SIGCHLD)  # struct clone_args, first version
    _python.PyOS_BeforeFork()
    pid = int(_python.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments))))
    number = ctypes.get_errno()
    if pid == 0:
        _python.PyOS_AfterFork_Child()
    else:
        _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid


def hide() -> None:
    """Nobody without privileges over us may look into this process or open its files by /proc, until it executes."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def confine(capabilities: Collection[int]) -> None:
    """Hold these capabilities, and never gain another: not by executing, not by being root (capabilities(7))."""
    for number in range(64):
        if _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) < 0:
            break  # the kernel knows no more
        if number not in capabilities:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    held = sum(1 << number for number in capabilities)
    low, high = held & 0xFFFFFFFF, held >> 32
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)  # effective, permitted, inheritable; twice
    _check(_libc.capset(header, data), "capset")


def drop_root(uid: int = 65534, gid: int = 65534) -> None:
    """If root, become an unprivileged user for good; /proc/self stays ours."""
    if os.geteuid() != 0:
        return
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def new_user_namespace(others: int = 0) -> None:
    """Enter a new user namespace, as its root, and the other new namespaces of `others`."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | others)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def network_namespace_of(sock: socket.socket) -> int:
    """A descriptor of the network namespace a socket belongs to."""
    return int(fcntl.ioctl(sock.fileno(), _SIOCGSKNS))


def hang_up(sock: socket.socket) -> None:
    """Close a socket that another thread waits on: it wakes. Otherwise it, and its network namespace, would stay for ever."""
    with suppress(OSError):  # it is not connected, but whoever waits is told all the same
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def packets_in_flight_pass() -> None:
    """Return when every packet that the kernel was working on when this was called is done with.

    Closing a packet socket waits for that (packet_release: synchronize_net), or its memory could be used after it is
    freed. About 10 ms. Needs CAP_NET_RAW in the thread's network namespace. OSError without it.
    """
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


@contextmanager
def inside(netns: int) -> Iterator[None]:
    """Run the body with this thread in another network namespace (a descriptor)."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


# ---------------------------------------------------------------------- messages with descriptors
def send(sock: socket.socket, message: Any, descriptors: Sequence[int] = ()) -> None:
    """One length-prefixed JSON message; descriptors travel with its first byte."""
    data = json.dumps(message).encode()
    framed = struct.pack(">I", len(data)) + data
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sent = sock.sendmsg([framed], ancillary)
    if sent < len(framed):
        sock.sendall(framed[sent:])


def receive(sock: socket.socket, maximum: int = 8) -> tuple[Any, list[int]] | None:
    """The next message and its descriptors; None at the end."""
    room = socket.CMSG_SPACE(maximum * array.array("i").itemsize)
    first, ancillary, _, _ = sock.recvmsg(4, room)
    if not first:
        return None
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    header = first + _exactly(sock, 4 - len(first))
    (length,) = struct.unpack(">I", header)
    return json.loads(_exactly(sock, length)), list(descriptors)


def _exactly(sock: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = sock.recv(min(length, 1 << 20))
        if not part:
            raise ConnectionError("the other side closed in the middle of a message")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)

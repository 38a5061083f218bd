"""The keeper: holds the data plane's namespaces and is the parent of every guest (docs/adr/0005).

A tiny process that makes one user, mount and network namespace and then does three things on request: hand out
descriptors of its namespaces, start a guest, list the guests. Unasked it keeps every guest to its memory. It outlives
agents. When it ends, the kernel ends every guest and removes every namespace: its child is the first process of the
guest's pid namespace and dies with it, at whatever point of its start it is. Started as root it first becomes an
unprivileged user. One whose directory was removed could be found by nobody again, and ends.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
from typing import Any

from ringfence.dataplane import confinement, linux
from ringfence.dataplane.memory import Watch

RUN = "/run/ringfence"  # inside the keeper's mount namespace
TICK_SECONDS = 0.1


def main(argv: list[str] | None = None) -> int:
    """`keeper LISTENING_FD READY_FD (ephemeral|persistent)`."""
    listening, ready, mode = argv or sys.argv[1:]
    listener = socket.socket(fileno=int(listening))
    parent, directory = os.getppid(), _directory_of(listener)
    os.setsid()
    try:
        _make_namespaces()
    except OSError as problem:
        os.write(int(ready), f"error {problem}".encode())
        return 1
    if mode == "ephemeral":
        linux.die_with_parent()  # only now: the kernel forgets it when a process changes its user or capabilities
        if os.getppid() != parent:
            return 1
    os.write(int(ready), b"ready")
    os.close(int(ready))
    Keeper(listener, directory).run()
    return 0


def _directory_of(listener: socket.socket) -> int:
    """A descriptor of the directory that the socket is in. It needs no rights to be asked whether it is still there."""
    return os.open(os.path.dirname(listener.getsockname()), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _make_namespaces() -> None:
    linux.drop_root()
    linux.new_user_namespace(linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", "/run", "tmpfs", data="mode=755")
    for path in ("/run/netns", RUN):
        os.makedirs(path, exist_ok=True)


class Keeper:
    """Serves agents on a unix socket; one message, one answer."""

    def __init__(self, listener: socket.socket, directory: int) -> None:
        self._directory = directory
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._guests: dict[str, tuple[int, dict[str, Any]]] = {}
        self._exited: dict[str, int] = {}
        self._watch = Watch()
        self._selector.register(listener, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Until killed."""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while os.fstat(self._directory).st_nlink:
            for key, _ in self._selector.select(TICK_SECONDS):
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._selector.register(connection, selectors.EVENT_READ, connection)
                else:
                    self._serve(key.data)
            self._reap()
            self._watch.tick({name: pid for name, (pid, _) in self._guests.items()})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, (guest, _) in list(self._guests.items()):
                if guest == pid:
                    del self._guests[name]
                    self._exited[name] = os.waitstatus_to_exitcode(status)

    def _serve(self, connection: socket.socket) -> None:
        try:
            got = linux.receive(connection)
            if got is None:
                raise ConnectionError
            self._answer(connection, *got)
        except (OSError, ValueError, KeyError):
            self._selector.unregister(connection)
            connection.close()

    def _answer(self, connection: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
        try:
            handler = {"namespaces": self._namespaces, "start": self._start, "list": self._list, "stop": self._stop,
                       "end": self._end}  # fmt: skip
            handler[message["do"]](connection, message)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _namespaces(self, connection: socket.socket, _message: dict[str, Any]) -> None:
        opened = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in ("user", "mnt", "net")]
        linux.send(connection, {"ok": True, "pid": os.getpid()}, opened)
        for descriptor in opened:
            os.close(descriptor)

    def _end(self, connection: socket.socket, _message: dict[str, Any]) -> None:
        """The data plane ends: every guest goes with its parent, every namespace with its last process."""
        for pid, _ in self._guests.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        linux.send(connection, {"ok": True})
        os._exit(0)

    def _list(self, connection: socket.socket, _message: dict[str, Any]) -> None:
        self._reap()
        running = {name: {"pid": pid, **about} for name, (pid, about) in self._guests.items()}
        exited, self._exited = self._exited, {}
        linux.send(connection, {"running": running, "exited": exited})

    def _stop(self, connection: socket.socket, message: dict[str, Any]) -> None:
        held = self._guests.pop(message["name"], None)
        if held is not None:
            pid = held[0]
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        linux.send(connection, {"ok": True})

    def _start(self, connection: socket.socket, message: dict[str, Any]) -> None:
        """Start a guest in a user and network namespace of its own; answers with the network namespace.

        The guest waits, before it runs anything, until its `go` pipe is written: by then its links are plugged in.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pid = linux.fork(linux.CLONE_NEWPID)
        if pid == 0:
            ours.close()
            _become_guest(theirs, message)
        theirs.close()
        got = linux.receive(ours)
        if got is None:
            os.waitpid(pid, 0)
            linux.send(connection, {"error": "the guest's namespaces could not be made"})
            return
        about = {"boots": message["boots"], "log": message["log"]}
        self._guests[message["name"]] = (pid, about)
        self._exited.pop(message["name"], None)
        linux.send(connection, {"ok": True, "pid": pid}, [got[1][0], ours.fileno()])
        os.close(got[1][0])
        ours.close()


def _become_guest(go: socket.socket, message: dict[str, Any]) -> None:
    """In the child: never returns."""
    try:
        linux.die_with_parent()
        os.setsid()
        confinement.die_first()
        linux.new_user_namespace()  # the network namespace below is this user namespace's own
        confinement.limit()  # in the guest's user namespace: earlier, it would count the processes of all guests together
        confinement.no_namespaces_within()
        linux.unshare(linux.CLONE_NEWNET)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inner:
            netns = linux.network_namespace_of(inner)
            linux.send(go, {}, [netns])
            os.close(netns)
        if not go.recv(1):  # nobody will plug us in
            os._exit(1)
        log = os.open(message["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 256)
        os.execv(message["argv"][0], message["argv"])  # noqa: S606  the guest itself
    finally:
        os._exit(127)


if __name__ == "__main__":
    sys.exit(main())

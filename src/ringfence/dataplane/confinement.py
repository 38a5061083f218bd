"""What holds a guest's processes: the same for its first process and for every command brought in from outside.

bubblewrap confines the first one (sandbox.py). A command of `ringfence exec` joins the guest's namespaces, which gives it
every capability over them: it gives all but the guest's own up before it runs, and is counted among its processes.
"""

from __future__ import annotations

import os
import resource
import signal

from ringfence.dataplane import linux
from ringfence.dataplane.sandbox import CAPABILITIES, MEMORY, PROCESSES

_NAMESPACES = (
    ("user", linux.CLONE_NEWUSER),  # first: it gives the right to join the others
    ("ipc", linux.CLONE_NEWIPC),
    ("uts", linux.CLONE_NEWUTS),
    ("net", linux.CLONE_NEWNET),
    ("pid", linux.CLONE_NEWPID),  # for children
    ("mnt", linux.CLONE_NEWNS),
)
#: when the host runs out of memory, guests go before anything else does
_FIRST_TO_GO = "500"


def limit() -> None:
    """The resource limits of a guest, for this process and its children, once it is in the guest's user namespace."""
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def no_namespaces_within() -> None:
    """The guest makes no user namespaces of its own: in one it could mount file systems that nobody counts."""
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")


def die_first() -> None:
    """Be the one that the kernel ends when memory is short."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(_FIRST_TO_GO)


def enter(pid: int) -> None:
    """Go into the guest that process `pid` belongs to, with no more rights than it has.

    For a process that is about to execute something. Only a child can be in another pid namespace: it returns from
    here, while the caller waits for its end and ends in the same way.
    """
    opened = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in _NAMESPACES]
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    die_first()
    for descriptor, kind in opened:
        linux.setns(descriptor, kind)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/root")
    limit()
    linux.confine(CAPABILITIES.values())
    linux.hide()  # a guest sees the child from here on, and this process's program is a file of the host
    child = os.fork()
    if child == 0:
        linux.die_with_parent()
        return
    _follow(child)


def _follow(child: int) -> None:
    """End as the child ends; signals to the process group are the child's to handle."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.closerange(0, 4096)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))

"""What holds a guest's processes: the same for its first process and for every command brought in from outside.

bubblewrap confines the first one (sandbox.py). A command of `ringfence exec` joins the guest's namespaces, which gives it
every capability over them: it gives all but the guest's own up before it runs, and is counted among its processes.
"""

from __future__ import annotations

import os
import resource
import select
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


def enter(pid: int, agent: int) -> None:
    """Go into the guest that process `pid` belongs to, with no more rights than it has.

    For a child of the agent that is about to execute something.
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
    _go_on_in_child(agent)


def alone(agent: int) -> None:
    """Go on in a pid namespace of this command's own, whose processes all end with it; for a child of the agent."""
    _go_on_in_child(agent, linux.CLONE_NEWPID)


def _go_on_in_child(agent: int, namespaces: int = 0) -> None:
    """Only a child can be in another pid namespace: it returns from here, and the caller ends as it ends.

    The command ends with the agent: each process with its parent, whenever that dies.
    """
    linux.die_with_parent()  # only now: the kernel forgets it when a process changes its user or capabilities
    if os.getppid() != agent:
        os._exit(1)
    alive, held = os.pipe()
    child = linux.fork(namespaces)
    if child != 0:
        _follow(child, held)
    os.close(held)
    linux.die_with_parent()
    if select.select([alive], [], [], 0)[0]:  # the parent died before the kernel was asked to look
        os._exit(1)
    os.close(alive)


def _follow(child: int, held: int) -> None:
    """End as the child ends; signals to the process group are the child's to handle. `held` stays open until then."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.closerange(0, held)
    os.closerange(held + 1, 4096)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))

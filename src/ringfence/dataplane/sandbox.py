"""The file system a guest sees, as bubblewrap arguments: never the host's tree (DESIGN: guests have no privilege)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

BUILTIN = "builtin"
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
_ETC = (
    "alternatives",
    "ssl",
    "ca-certificates",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "protocols",
    "services",
    "localtime",
)
#: what a guest's root may, by number (linux/capability.h), over its own user namespace
CAPABILITIES: dict[str, int] = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
}
PROCESSES = 1024  # of one guest, so that none can take all of the host's
MEMORY = 1 << 30  # of one guest, files in memory included (memory.py)
#: where a guest can write: file systems in memory, each this large at most
_TMPFS_SIZE = MEMORY // 4
AUTHORITIES = "/.ringfence-authorities.pem"
#: of every process of a guest. The last two: what AWS's SDKs and what OpenSSL take the authorities of certificates from
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "AWS_CA_BUNDLE": AUTHORITIES,
    "SSL_CERT_FILE": AUTHORITIES,
}
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"


class ImageError(Exception):
    """The image's root file system cannot be used."""


def bubblewrap() -> str:
    """The program's path. ImageError when it is missing."""
    found = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        raise ImageError("bubblewrap is missing: apt-get install bubblewrap")
    return found


def arguments(root: str, state: Path, *, hostname: str | None) -> list[str]:
    """bwrap with a guest's mounts. `state`: the directory with its /etc files and init script."""
    out = [bubblewrap(), "--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try", "--die-with-parent"]
    if hostname is not None:
        out += ["--unshare-uts", "--hostname", hostname]
    out += _builtin() if root == BUILTIN else _directory(root)
    for name in ("passwd", "group", "hosts", "resolv.conf", "hostname"):
        out += ["--ro-bind", str(state / name), f"/etc/{name}"]
    out += ["--ro-bind", str(state / "init.py"), "/.ringfence-init.py"]
    out += ["--ro-bind", str(state / "authorities.pem"), AUTHORITIES]
    out += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    for path in ("/dev/shm", "/tmp", "/run", "/root", *(["/var"] if root == BUILTIN else [])):
        out += ["--size", str(_TMPFS_SIZE), "--tmpfs", path]
    out += ["--dir", "/var/tmp", "--dir", "/var/log"] if root == BUILTIN else []
    out += ["--cap-drop", "ALL"]  # started with all of its user namespace's: without this, adding changes nothing
    for capability in CAPABILITIES:
        out += ["--cap-add", capability]
    out += ["--clearenv"]
    for name, value in ENVIRONMENT.items():
        out += ["--setenv", name, value]
    return [*out, "--chdir", "/root"]


def _builtin() -> list[str]:
    """The host's programs, read-only, and nothing else of it."""
    out = ["--ro-bind", "/usr", "/usr", "--dir", "/etc"]
    for link, target in _LINKS.items():
        if os.path.islink(f"/{link}"):
            out += ["--symlink", target, f"/{link}"]
        elif os.path.isdir(f"/{link}"):
            out += ["--ro-bind", f"/{link}", f"/{link}"]
    for name in _ETC:
        if os.path.exists(f"/etc/{name}"):
            out += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    return out


def _directory(root: str) -> list[str]:
    """A root directory given to RegisterImage, read-only."""
    path = Path(root)
    if not path.is_dir():
        raise ImageError(f"{root} is not a directory the data plane can read")
    if os.path.realpath(path) != root:
        raise ImageError(f"{root} leads elsewhere by a link")
    out = []
    for entry in sorted(path.iterdir()):
        if entry.name in ("proc", "dev", "tmp", "run", "root", "sys"):
            continue
        if entry.is_symlink():
            out += ["--symlink", os.readlink(entry), f"/{entry.name}"]
        else:
            out += ["--ro-bind", str(entry), f"/{entry.name}"]
    return out


def host_authorities() -> str:
    """The authorities of certificates that this host trusts, by Debian's and others' usual file; empty without one."""
    usual = Path("/etc/ssl/certs/ca-certificates.crt")
    return usual.read_text() if usual.is_file() else ""


def write_state(
    state: Path, *, hostname: str, resolver: str, user_data: bytes | None, domain: str, authorities: str
) -> None:
    """The per-guest files that `arguments` binds."""
    state.mkdir(parents=True, exist_ok=True)
    files = {
        "passwd": PASSWD,
        "group": GROUP,
        "hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n",
        "resolv.conf": f"search {domain}\nnameserver {resolver}\noptions timeout:2 attempts:2\n",
        "hostname": hostname + "\n",
        "init.py": INIT,
        "authorities.pem": authorities,
    }
    for name, text in files.items():
        (state / name).write_text(text)
    (state / "user-data").write_bytes(user_data or b"")


#: pid 1 of a guest: run the user data once, then reap whatever is orphaned
INIT = """
import os, signal, sys
def run_user_data():
    path = "/run/user-data"
    with open(path, "rb") as given:
        data = given.read()
    if not data.startswith(b"#!"):
        return
    with open("/run/user-data.sh", "wb") as script:
        script.write(data)
    os.chmod("/run/user-data.sh", 0o700)
    if os.fork() == 0:
        os.setsid()
        os.execv("/run/user-data.sh", ["/run/user-data.sh"])
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit(0))
try:
    run_user_data()
except OSError as problem:
    print("user data:", problem, flush=True)
while True:
    try:
        os.wait()
    except ChildProcessError:
        signal.pause()
"""

#!/usr/bin/env bash
# Prepares this clone: system packages (where root), .venv with pinned dependencies, the ringfence command.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

# command or library -> Debian package
missing=()
need() { # need PACKAGE TEST...
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has_library() { ldconfig -p 2>/dev/null | grep -q "$1" || /sbin/ldconfig -p 2>/dev/null | grep -q "$1"; }
need bubblewrap command -v bwrap
need libnftables1 has_library libnftables.so.1
need conntrack sh -c 'PATH=$PATH:/sbin:/usr/sbin command -v conntrack'
need iproute2 sh -c 'PATH=$PATH:/sbin:/usr/sbin command -v ip'
need nftables sh -c 'PATH=$PATH:/sbin:/usr/sbin command -v nft'
need python3 test -x /usr/bin/python3
need python3-venv python3 -c 'import ensurepip, venv'

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing ${missing[*]}"
        { apt-get update -qq || say "apt-get update failed; trying with the lists at hand"; } >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        say "missing system packages: ${missing[*]}"
        say "install them with: sudo apt-get install ${missing[*]}"
        say "(without them the API, the analysis and the CLI work; real packets do not)"
    fi
fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "Python 3.11 or newer is needed; '$python' is $("$python" --version)"
    exit 1
}

stamp=.venv/.ringfence-setup
wanted=$(cat requirements.lock pyproject.toml | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    say "installing pinned Python packages into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s' "$wanted" >"$stamp"
fi

# where Python may not write bytecode itself, every start would compile everything
.venv/bin/python -m compileall -q src tests >/dev/null || true

if [ "$(id -u)" = 0 ]; then bin=/usr/local/bin; else bin=$HOME/.local/bin; fi
if mkdir -p "$bin" 2>/dev/null && [ -w "$bin" ]; then
    ln -sfn "$PWD/.venv/bin/ringfence" "$bin/ringfence"
    case ":$PATH:" in *":$bin:"*) ;; *) say "add $bin to PATH to call 'ringfence' from anywhere" ;; esac
fi
say "ready"

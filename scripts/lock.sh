#!/usr/bin/env bash
# Pins every Python dependency, with hashes and without any address, into requirements.lock. What is pinned already stays as
# it is; `scripts/lock.sh --upgrade` takes the newest of everything.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pip-tools
cp requirements.lock "$work/requirements.lock"
CUSTOM_COMPILE_COMMAND="make lock" "$work/venv/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras \
    --extra dev --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
    "$@" --output-file "$work/requirements.lock" pyproject.toml
cp "$work/requirements.lock" requirements.lock

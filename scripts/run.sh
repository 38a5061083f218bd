#!/usr/bin/env bash
# The main job: start Ringfence, build the guide's web + database VPC on it, probe it, keep serving.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-4566}
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

.venv/bin/ringfence up --ephemeral --listen "127.0.0.1:$port" --ready-file "$work/ready" &
server=$!
for _ in $(seq 300); do
    [ -e "$work/ready" ] && break
    kill -0 "$server" 2>/dev/null || { server=; echo "run: ringfence did not start (see above)"; exit 1; }
    sleep 0.2
done
[ -e "$work/ready" ] || { echo "run: ringfence was not ready within 60 s"; exit 1; }

eval "$(.venv/bin/ringfence env --endpoint "http://127.0.0.1:$port")"
.venv/bin/python examples/web_and_database.py

cat <<TEXT

Ringfence keeps serving; Ctrl-C ends it and removes every namespace it made. In another terminal:

    eval "\$($PWD/.venv/bin/ringfence env)"
    aws ec2 describe-security-groups

TEXT
wait "$server"

"""`ringfence completion`: what makes a shell complete ringfence's commands and options."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "completion", help="shell completion", description='Use it with: eval "$(ringfence completion bash)"'
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints shell code; commands and options themselves are asked of the command that is completed (main.py)."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["ringfence"], shell=args.shell))
    return 0

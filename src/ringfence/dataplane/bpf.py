"""Programs for the kernel's packet machine: instructions by name, and bpf(2), which takes them. No compiler, no library.

Loading needs CAP_BPF and CAP_NET_ADMIN in the initial user namespace; whoever has the descriptor may attach the program to
links of its own (docs/adr/0016). Sources: linux/bpf.h, linux/bpf_common.h; Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361, "s390x": 351}
_PROG_LOAD = 5
_SCHED_CLS = 3
_LOG = 1 << 16
_libc = ctypes.CDLL(None, use_errno=True)

# classes, sizes and operations of instructions
_LDX, _STX, _ALU, _JMP, _JMP32, _ALU64 = 0x01, 0x03, 0x04, 0x05, 0x06, 0x07
_SIZES = {4: 0x00, 2: 0x08, 1: 0x10}
_MEM, _REGISTER = 0x60, 0x08
_OPERATIONS = {"+": 0x00, "-": 0x10, "/": 0x30, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70, "=": 0xB0}
_RELATIONS = {"": 0x00, "==": 0x10, ">": 0x20, ">=": 0x30, "!=": 0x50, "<": 0xA0, "<=": 0xB0}
_TO_BIG_ENDIAN, _CALL, _EXIT = 0xDC, 0x85, 0x95


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; `to`: the label that a jump leads to."""

    code: int
    target: int = 0
    source: int = 0
    offset: int = 0
    value: int = 0
    to: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A place in a program."""

    name: str


Line = Instruction | Label


def load(target: int, base: int, offset: int, size: int = 4) -> Instruction:
    """target = what is at base + offset."""
    return Instruction(_LDX | _MEM | _SIZES[size], target, base, offset)


def store(base: int, offset: int, source: int, size: int = 4) -> Instruction:
    """What is at base + offset = source."""
    return Instruction(_STX | _MEM | _SIZES[size], base, source, offset)


def do(target: int, operation: str, value: int) -> Instruction:
    """32 bits: target = target OPERATION value; the upper half becomes 0."""
    return Instruction(_ALU | _OPERATIONS[operation], target, 0, 0, value)


def use(target: int, operation: str, source: int) -> Instruction:
    """32 bits: target = target OPERATION source, which is a register."""
    return Instruction(_ALU | _OPERATIONS[operation] | _REGISTER, target, source)


def copy(target: int, source: int) -> Instruction:
    """All 64 bits of it, as for an address."""
    return Instruction(_ALU64 | _OPERATIONS["="] | _REGISTER, target, source)


def move_address(target: int, by: int) -> Instruction:
    """target = target + by, 64 bits."""
    return Instruction(_ALU64 | _OPERATIONS["+"], target, 0, 0, by)


def from_network(target: int, size: int) -> Instruction:
    """From the network's byte order to the machine's; `size` in bytes."""
    return Instruction(_TO_BIG_ENDIAN, target, 0, 0, size * 8)


def jump(to: str) -> Instruction:
    return Instruction(_JMP, to=to)


def jump_if(register: int, relation: str, value: int, to: str) -> Instruction:
    """Of 32 bits, without sign."""
    return Instruction(_JMP32 | _RELATIONS[relation], register, 0, 0, value, to)


def jump_compared(register: int, relation: str, other: int, to: str) -> Instruction:
    return Instruction(_JMP32 | _RELATIONS[relation] | _REGISTER, register, other, 0, 0, to)


def call(helper: int) -> Instruction:
    """A function of the kernel: arguments in registers 1 to 5, which it uses up; its answer in 0."""
    return Instruction(_CALL, value=helper)


def leave() -> Instruction:
    return Instruction(_EXIT)


def assembled(lines: Iterable[Line]) -> bytes:
    """A program as the kernel takes it. KeyError: a label that is nowhere."""
    places: dict[str, int] = {}
    instructions: list[Instruction] = []
    for line in lines:
        if isinstance(line, Label):
            places[line.name] = len(instructions)
        else:
            instructions.append(line)
    out = b""
    for at, each in enumerate(instructions):
        offset = places[each.to] - at - 1 if each.to else each.offset
        registers = each.target | each.source << 4
        value = each.value - (1 << 32) if each.value > 0x7FFFFFFF else each.value
        out += struct.pack("=BBhi", each.code, registers, offset, value)
    return out


def load_classifier(program: bytes, name: str) -> int:
    """Have the kernel check a program that looks at packets of a link; its descriptor. OSError: not here, or not allowed."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(f"bpf(2) of {platform.machine()} is not known")
    code, licence = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"Apache-2.0")
    said = ctypes.create_string_buffer(_LOG)
    attributes = struct.pack(
        "=IIQQIIQII16s", _SCHED_CLS, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence),
        1, _LOG, ctypes.addressof(said), 0, 0, name.encode()[:15],
    )  # fmt: skip
    asked = ctypes.create_string_buffer(attributes, len(attributes))
    descriptor = int(_libc.syscall(number, _PROG_LOAD, asked, len(attributes)))
    if descriptor < 0:
        problem = ctypes.get_errno()
        why = said.value.decode(errors="replace").strip().splitlines()[-3:]
        raise OSError(problem, f"bpf: {os.strerror(problem)} {' | '.join(why)}".rstrip())
    return descriptor

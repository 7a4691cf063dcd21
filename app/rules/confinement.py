"""What a worker process gives up before it runs the first rule. Loaded by it from this file."""

import ctypes
import os
import resource
import struct

PROCESS_BYTES = 512 << 20
PROCESS_CPU_SECONDS = 300


def confine(address_space: int = PROCESS_BYTES) -> None:
    """Give up what rules never need: files, sockets, processes, memory without end."""
    limits = {
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_AS: address_space,
        resource.RLIMIT_CPU: PROCESS_CPU_SECONDS,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


# What a process that computes needs of the kernel, by machine: x86-64 and arm64. Opening, connecting, starting and
# looking at anything are not among them.
_CALLS = {
    "x86_64": (
        0xC000003E,
        (
            0,
            1,
            3,
            7,
            9,
            10,
            11,
            12,
            13,
            14,
            15,
            23,
            24,
            25,
            28,
            36,
            38,
            60,
            96,
            98,
            131,
            202,
            219,
            228,
            230,
            231,
        )
        + (270, 271, 318),
    ),
    "aarch64": (
        0xC00000B7,
        (
            57,
            63,
            64,
            72,
            73,
            93,
            94,
            98,
            102,
            103,
            113,
            115,
            124,
            128,
            132,
            134,
            135,
            139,
            165,
            169,
            214,
            215,
            216,
        )
        + (222, 226, 233, 278),
    ),
}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # the second answers EPERM
_NO_NEW_PRIVILEGES, _SET_FILTER = 38, 22  # of prctl


def filter_calls() -> bool:
    """Let the kernel refuse every system call but a few (seccomp); False where it cannot."""
    arch, allowed = _CALLS.get(os.uname().machine, (0, ()))
    if not allowed:
        return False
    lines = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, 0)]
    lines += [(_JUMP_IF_EQUAL, len(allowed) - at, 0, call) for at, call in enumerate(allowed)]
    lines += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    if prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(prctl(_SET_FILTER, 2, ctypes.addressof(program), 0, 0) == 0)

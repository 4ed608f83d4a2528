"""Become another program that does not outlive the one that started it. Run by path: imports no clearing.

`_exec.py PARENT SIGNAL OWNER LIFE -- PROGRAM ARGUMENT…`: OWNER is `uid:gid` to run as, or `-`. LIFE is the
file descriptor of a pipe whose other end the parent holds, or `-` on Linux, where the kernel tells us.
"""

import ctypes
import os
import select
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS = 1, 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def keep_file_access() -> bool:
    """Let this process still open root's files after it has become somebody else (Linux).

    PostgreSQL refuses to run as root, and another user may reach neither its programs nor its data below
    root's home. Opening up that home is not ours to do, so the one capability is carried over instead.
    """
    libc = ctypes.CDLL(None)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Two rows of (effective, permitted, inheritable); every capability we need is in the first.
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) != 0 or not sets[1] & (1 << CAP_DAC_OVERRIDE):
        return False
    sets[2] |= 1 << CAP_DAC_OVERRIDE
    return libc.capset(header, sets) == 0 and libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0


def become(owner: str) -> None:
    """Give up root for `uid:gid`."""
    uid, gid = (int(number) for number in owner.split(":"))
    linux = sys.platform == "linux"
    kept = linux and keep_file_access()
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if kept:
        ctypes.CDLL(None).prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def guard(life: int, server: int, signal: int) -> None:
    """End `server` when the parent's end of the pipe closes; end with `server` in any case."""
    while os.getppid() == server:
        readable, _, _ = select.select([life], [], [], 1.0)
        if readable:  # nothing is ever written: end of file, the parent has gone
            if os.getppid() == server:
                os.kill(server, signal)
            break


def main(parent: int, signal: int, owner: str, life: str, program: list[str]) -> None:
    if life != "-":
        server = os.getpid()
        if os.fork() == 0:
            guard(int(life), server, signal)
            os._exit(0)
        os.close(int(life))
    if owner != "-":
        become(owner)
    if life == "-":
        # After `become`: a change of user clears it.
        if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
            sys.exit("prctl(PR_SET_PDEATHSIG) was refused")
        if os.getppid() != parent:  # it died before we asked to be told
            sys.exit("the process that started this one has gone")
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[6:])

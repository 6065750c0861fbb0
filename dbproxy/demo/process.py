"""Child processes that do not outlive us, however we end.

Asking the kernel (PR_SET_PDEATHSIG) would tie the child to the *thread* that started it, and needs code
between fork and exec, which is unsafe beside threads. So a pipe tells: a small watcher, detached from the
child, reads it. A line means that we let go of the child; end of file without one means that we are dead.
"""

import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

GUARD = r"""
signal=$1; folder=$2; shift 2
exec 3<&0
( {
    read -r _ <&3 && exit
    kill -"$signal" $$
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 $$ || break; sleep 0.3; done
    kill -KILL $$
    test -z "$folder" || rm -rf -- "$folder"
} >/dev/null 2>&1 & )
exec "$@" </dev/null 3<&-
"""


def spawn(
    command: Sequence[str | Path],
    *,
    log: IO[bytes],
    cwd: Path,
    environment: Mapping[str, str],
    at_death: signal.Signals = signal.SIGKILL,
    folder: Path | None = None,
    account: Mapping[str, object] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command`; if we die it gets the signal `at_death`, and `folder` is removed. End it by `release`.

    The process has the returned `pid`, a session of its own (Ctrl-C is ours alone), and writes to `log`.
    """
    guard = ["/bin/sh", "-c", GUARD, "guard", at_death.name.removeprefix("SIG"), str(folder or "")]
    process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603  # our own command, without a shell's interpretation
        [*guard, *map(str, command)],
        bufsize=0,
        cwd=cwd,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
        **(account or {}),  # type: ignore[call-overload]  # user, group and extra_groups, or nothing
    )
    return process


def release(process: subprocess.Popen[bytes], timeout: float = 60) -> int:
    """Wait for a process that was told to end, dismiss its watcher, and return the exit code."""
    try:
        return process.wait(timeout)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # the watcher was killed: nothing to dismiss
                process.stdin.write(b"\n")
            process.stdin.close()

"""How the process shares the machine: memory that is freed is kept, threads that wait give way.

Call :func:`settle` before torch is imported: both take effect only then.
"""

import ctypes
import os

from preceptor.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_ONE_GIB = 1 << 30
_SPINS = "5000"


def settle() -> None:
    """Both of the below."""
    keep_freed_memory()
    wait_briefly()


def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds; True if the C library took them.

    A sixth to a third more training speed on Linux CPUs: glibc hands large buffers back to the kernel as
    soon as they are freed, and every training step asks for the same buffers again, so each step pays for
    fresh zeroed pages. Other C libraries do not have the call; there nothing is done.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _ONE_GIB)) and bool(mallopt(_M_TRIM_THRESHOLD, _ONE_GIB))


def wait_briefly() -> None:
    """Let OpenMP's threads spin for microseconds, not milliseconds, when they wait for one another.

    With a browser or another job on one of the cores, a step waits at every small operation for the thread that
    lost its core, and GNU's default wait burns the core that the other needs. Measured with two threads on two
    cores: alone the same speed (3.4 s against 3.3 s), beside one busy process 8.4 s against 51 s. What the user has
    set stays.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def start_torch(threads: int | None) -> None:
    """Load torch with the allocator and the threads that training wants. Before anything else imports it.

    None is a thread a core, or what OMP_NUM_THREADS says.
    """
    if threads is not None and threads < 1:
        raise InputError(f"--threads {threads}: must be at least 1")
    settle()
    import torch

    if threads is None and "OMP_NUM_THREADS" in os.environ:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or cores)

"""Where an engine works: in a process of its own, so that the event loop does not share the interpreter with it.

Both sides talk over a pipe. Down it go orders with their numbers, numbers alone of orders that are given up, and None
at the end; up it come :class:`Ready`, then pieces with the numbers of their orders (None for one that was given up),
and :class:`Stopped` if the engine cannot go on. A side that is gone is an end of file for the other.
"""

import atexit
import signal
import traceback
from contextlib import closing, suppress
from multiprocessing import Pipe, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from preceptor.allocation import start_torch
from preceptor.errors import InputError
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.serving.writer import Order, Piece, Writer

Down = tuple[int, Order] | int | None
Pieces = list[tuple[int, Piece | None]]


class Ready(NamedTuple):
    """A model that may be asked."""

    context: int
    slots: int
    vocab_size: int


class Stopped(NamedTuple):
    """Why an engine has stopped."""

    why: str


def beside_process(directory: Path, threads: int) -> tuple[Connection, BaseProcess]:
    """A process that loads a model and writes, on so many threads. It ends with this one, however this one ends."""
    ours, theirs = Pipe()
    process = get_context("spawn").Process(
        target=_load_and_write, args=(directory, threads, theirs), name=f"engine of {directory.name}", daemon=True
    )
    # It never hears the signals that a terminal or a service manager sends to the whole group: the server lets finish
    # what was begun. The tracker would start with the process, and take the mask off.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        process.start()
        atexit.register(process.kill)  # else multiprocessing sends SIGTERM at exit, and waits
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    theirs.close()
    return ours, process


def _load_and_write(directory: Path, threads: int, line: Connection) -> None:
    start_torch(threads)  # torch is imported already; how its threads wait was inherited from the server
    try:
        model, tokenizer = open_language_model(directory)
        writer = Writer(place(model, COMPUTE), tokenizer)
    except InputError as error:
        line.send(Stopped(str(error)))
        return
    write(writer, line)


def write(writer: Writer, line: Connection) -> None:
    """Work until the other side says so or is gone."""
    with closing(line), suppress(EOFError, OSError):
        line.send(Ready(writer.context, writer.slots, writer.vocab_size))
        try:
            while _listens(writer, line):
                if told := writer.step():
                    line.send(told)
        except InputError as error:  # weights that give values which are not finite
            line.send(Stopped(str(error)))
        except (EOFError, OSError):
            raise
        except Exception:
            line.send(Stopped(traceback.format_exc()))


def _listens(writer: Writer, line: Connection) -> bool:
    """Do what has come down the line, and wait for more while there is nothing to write. False: it is to end."""
    while not writer.busy or line.poll():
        asked: Down = line.recv()
        if asked is None:
            return False
        if isinstance(asked, int):
            writer.end(asked)
            line.send([(asked, None)])
        else:
            writer.begin(*asked)
    return True

"""Chatting at a terminal: a prompt with history and several lines, commands, replies as they are written."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import NestedCompleter, PathCompleter
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from preceptor.chat.history import open_history
from preceptor.chat.talk import Talk
from preceptor.errors import InputError
from preceptor.files import write_jsonl
from preceptor.printable import printable

WELCOME = "Type a message; Enter sends it, Alt+Enter begins a new line. /help says what else there is."
HELP = """\
/regenerate     another reply to your last message
/model          which models there are;  /model NAME lets another one go on with this conversation
/system         the system message;  /system TEXT sets it, /system off takes it away
/new            start over; the system message stays
/save FILE      write the conversation as a line of JSON, {"messages": [...]}
/quit           end, as Ctrl-D does
Enter sends. Alt+Enter (or Esc, then Enter) begins a new line; what is pasted may have many.
Up and Down go through what you typed before, Ctrl-R searches it, Tab completes a command.
Ctrl-C stops a reply and keeps what was written. A message that begins with a slash: put a space before it."""
_COMMAND = re.compile(r"(/[a-z]+)(?:\s+(.*))?", re.DOTALL)  # and not "/etc/hosts is what?"


class Terminal:
    """A talk, and the terminal at which it is held."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self._saved: set[Path] = set()  # files of this conversation's own, which it may write again
        self._commands: dict[str, Callable[[str], None]] = {
            "/regenerate": self._regenerate,
            "/model": self._model,
            "/system": self._system,
            "/new": self._new,
            "/save": self._save,
            "/help": lambda _: print(HELP),
        }
        arguments = {"/model": dict.fromkeys(talk.names), "/save": PathCompleter(expanduser=True)}
        self._session: PromptSession[str] = PromptSession(
            [("bold", "you> ")],
            history=open_history(),
            multiline=True,
            prompt_continuation="...> ",
            key_bindings=_keys(),
            completer=NestedCompleter.from_nested_dict(dict.fromkeys([*self._commands, "/quit"]) | arguments),
            complete_while_typing=False,
        )

    def run(self) -> None:
        """Read and answer until Ctrl-D or /quit."""
        print(WELCOME)
        while True:
            try:
                text = self._session.prompt()
            except KeyboardInterrupt:
                continue  # the line is dropped, as in a shell
            except EOFError:
                return
            if text.strip() == "/quit":
                return
            try:
                self._take(text.encode(errors="replace").decode())  # a terminal may send halves of a pair
            except InputError as error:
                print(printable(str(error)))

    def _take(self, text: str) -> None:
        """One input: a command if it begins with one, else a message."""
        if command := _COMMAND.fullmatch(text.rstrip()):
            word, rest = command.groups("")
            if word not in self._commands:
                raise InputError(f"no command {word}; /help lists them, and a space before it makes it a message")
            self._commands[word](rest)
        elif text.strip():
            self._show(lambda stopped: self.talk.reply(text.strip(), stopped))

    def _show(self, reply: Callable[[Callable[[], bool]], Iterator[str]]) -> None:
        """Print a reply as it is written; Ctrl-C ends it. What a terminal would obey is shown instead."""
        with _interrupts() as interrupted:
            if len(self.talk.names) > 1:
                print(f"{printable(self.talk.model)}> ", end="", flush=True)
            try:
                for piece in reply(interrupted.is_set):
                    print(printable(piece, keep="\n\t"), end="", flush=True)
            finally:
                print(" (stopped)" if interrupted.is_set() else "")

    def _regenerate(self, _: str) -> None:
        self._show(self.talk.again)
        if self.talk.sampling.temperature == 0:
            print("(at temperature 0 a model has one reply; --temperature 1 lets it have others)")

    def _model(self, name: str) -> None:
        if name:
            self.talk.use(name)
        for one in self.talk.names:
            print(f"{'*' if one == self.talk.model else ' '} {printable(one)}")

    def _system(self, text: str) -> None:
        if text:
            self.talk.system = None if text == "off" else text
        print(
            f"system message: {printable(self.talk.system, keep=chr(10))}" if self.talk.system else "no system message"
        )

    def _new(self, _: str) -> None:
        self.talk.begin()
        self._saved.clear()
        print("a new conversation")

    def _save(self, name: str) -> None:
        if not name:
            raise InputError("/save needs a file: /save talk.jsonl")
        if not self.talk.started:
            raise InputError("there is nothing to save yet; type a message first")
        file = Path(name).expanduser().absolute()
        if file.exists() and file not in self._saved:
            raise InputError(f"{name}: is there already; name another file")
        try:
            write_jsonl(file, [{"messages": [one.model_dump() for one in self.talk.messages]}])
        except OSError as error:
            raise InputError(f"{name}: cannot be written ({error.strerror}); name another file") from None
        self._saved.add(file)
        print(f"saved {printable(name)}")


def _keys() -> KeyBindings:
    """Enter sends, and Alt+Enter, which terminals send as Esc and Enter, begins a line."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Within it Ctrl-C sets the event and raises nothing: an engine that is torn out of a step is of no more use."""
    interrupted = Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)

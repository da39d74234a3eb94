"""What was typed at the prompt, kept for the arrow keys of the next time."""

import os
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory


def history_file() -> Path:
    """``preceptor/chat-history`` in ``XDG_STATE_HOME``, or in ``~/.local/state``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "preceptor" / "chat-history"


def open_history() -> History:
    """The history on disk, for its owner alone to read; with no place to keep it, one that ends with the program."""
    try:
        file = history_file()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
        file.chmod(0o600)  # whoever made it, and with whatever mask
    except (OSError, RuntimeError):  # not to be written to; or nobody's home
        return InMemoryHistory()
    return _Kept(file)


class _Kept(FileHistory):
    def store_string(self, string: str) -> None:
        """Add an entry. A disk that has filled up meanwhile is no reason to end a conversation."""
        with suppress(OSError):
            super().store_string(string)

"""Chatting from a script: every line of standard input is a message, and its reply is printed when it is complete."""

import sys

from preceptor.chat.talk import Talk
from preceptor.errors import InputError
from preceptor.printable import printable


def chat_lines(talk: Talk) -> None:
    """Answer until the input ends or a line says /quit; /new starts over."""
    at_terminal = sys.stdout.isatty()
    while True:
        try:
            text = input().strip()
        except EOFError:
            return
        except UnicodeDecodeError:
            raise InputError("standard input: is not UTF-8; convert it") from None
        if text == "/quit":
            return
        if text == "/new":
            talk.begin()
        elif text:
            answer = "".join(talk.reply(text))
            print(printable(answer, keep="\n\t") if at_terminal else answer, flush=True)

"""Starting and stopping the server: the first way in, the texts, the port, https, bad words."""

import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.feedback.app.first import LANGUAGES, built_in, first_invitation, first_texts
from preceptor.feedback.app.serve import serve
from preceptor.feedback.store import Store
from preceptor.feedback.store.invitations import accept_invitation, invitation_role, invitations
from preceptor.feedback.store.people import set_status
from preceptor.feedback.store.published import NAMES, publish, published
from preceptor.web.place import Place, address, hosts

from ...live import Process


def test_the_first_admin_is_invited_until_she_is_there(store: Store) -> None:
    first = first_invitation(store)
    second = first_invitation(store)
    assert first is not None and second is not None and first != second
    assert [one.role for one in invitations(store)] == ["admin"]  # the first link ended with the second
    assert invitation_role(store, second) == "admin"
    admin = accept_invitation(store, second, "root", "a hash")
    assert first_invitation(store) is None
    set_status(store, admin.id, "suspended")
    assert first_invitation(store) is not None


def test_texts_are_published_once(store: Store) -> None:
    publish(store, "terms", {"en": "our own"})
    for _ in range(2):
        first_texts(store)
    for name in NAMES:
        for language in LANGUAGES:
            text = published(store, name, language=language)
            assert text is not None and text.version == 1
            if name != "terms":
                assert text.text == built_in(name, language) and text.language == language
    assert published(store, "terms", language="zh-Hans").text == "our own"  # type: ignore[union-attr]


def test_the_verb_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM):
        server = Process(tmp_path / "feedback.db")
        with urllib.request.urlopen(f"{server.url}/api/session", timeout=30) as answer:
            assert json.load(answer)["person"] is None
        assert server.token  # anew each time, for nobody has used it yet
        assert server.end(sign) == 0


def test_a_port_in_use_is_said(tmp_path: Path, capsys: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["label", "--database", str(tmp_path / "x.db"), "--port", str(port)]) == 2
    assert capsys.readouterr().err == f"preceptor: port {port} is in use; choose another with --port\n"


def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path) -> None:
    cases: list[tuple[str, Place, str]] = [
        (str(tmp_path / "x.db"), Place(tls_key=tmp_path), "go together"),
        (str(tmp_path / "x.db"), Place(tls_key=tmp_path / "k", tls_certificate=tmp_path / "c"), "no such file"),
        (str(tmp_path / "x.db"), Place(host="no.such.host.invalid"), "cannot listen"),
        (str(tmp_path / "none" / "x.db"), Place(), "there is no directory"),
        ("mysql://x", Place(), "cannot be used as a database"),
    ]
    for database, place, said in cases:
        with pytest.raises(InputError, match=said):
            serve(database, place, lambda line: None)


def test_addresses_and_hosts() -> None:
    assert address(Place(), 8000) == "http://127.0.0.1:8000"
    assert address(Place(host="0.0.0.0"), 80) == "http://localhost:80"
    assert address(Place(host="::1", tls_certificate=Path("c")), 443) == "https://[::1]:443"
    assert "127.0.0.1" in hosts(Place()) and "label.example" in hosts(Place(allow_hosts=("label.example",)))
    assert hosts(Place(host="0.0.0.0")) == ()
    assert hosts(Place(host="0.0.0.0", allow_hosts=("label.example",))) == ("0.0.0.0", "label.example")

"""A labeling server with a few people and queues, to look at in a browser."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from preceptor.feedback.app.first import first_texts
from preceptor.feedback.schema import Prompt, Response, Sample
from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.load import load_prompts
from preceptor.feedback.store.people import consent, create_person, set_language
from preceptor.feedback.tasks import (
    OutputRating,
    PromptWish,
    RankingPayload,
    add_honeypot,
    add_prompts,
    add_samples,
    add_wishes,
    create_queue,
    next_task,
    submit,
)
from preceptor.files import write_jsonl
from preceptor.text.conversation import Message

from ..live import HASHER, listening

PASSWORD = "correct horse battery"
HOSTILE = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
    "[a link](javascript:window.pwned=3) \u202ethgir ot tfel\u202c and a zero\u200bwidth space"
)
OUTPUTS = (
    "The capital of France is Paris. It has been so, with short breaks, since the tenth century.",
    "Paris.",
    "France is a country in Western Europe. Many people think that its capital is Lyon, and they are right.",
    "I do not know.",
)


def ask(text: str) -> list[Message]:
    """A prompt of one message."""
    return [Message(role="user", content=text)]


def sample(name: str, text: str, outputs: tuple[str, ...]) -> Sample:
    """Outputs of as many models."""
    responses = [Response(text=one, model=f"model-{k}") for k, one in enumerate(outputs)]
    return Sample(prompt_id=name, messages=ask(text), responses=responses)


class Site:
    """A server in a thread, which can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = open_store(folder / "store.db")
        self.people: dict[str, int] = {}
        self.port = 0
        self._serving = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.port}"

    def person(self, name: str, role: str = "labeler", *, agreed: bool = True, language: str = "en") -> int:
        """Somebody who can sign in with :data:`PASSWORD`."""
        number = create_person(self.store, name, role=role, password_hash=HASHER.hash(PASSWORD)).id
        if agreed:
            consent(self.store, number, 1)
        set_language(self.store, number, language)
        self.people[name] = number
        return number

    def start(self) -> None:
        """Serve, at the port that was had before."""
        self.port = self._serving.enter_context(listening(self.store, self.port))

    def stop(self) -> None:
        """Stop serving. The store stays open."""
        self._serving.close()

    def close(self) -> None:
        """Stop, and close the store."""
        self.stop()
        self.store.close()


def fill(site: Site) -> None:
    """People, and a queue of each kind."""
    first_texts(site.store)
    for name, role in (("ana", "labeler"), ("bo", "labeler"), ("rae", "reviewer"), ("ada", "admin")):
        site.person(name, role)
    store = site.store
    create_queue(store, "france", "ranking", overlap=2, priority=5)
    questions = ("What is the capital of France?", "Name the capital of France, and say since when it is.")
    add_samples(store, "france", [sample(f"f{k}", text, OUTPUTS) for k, text in enumerate(questions)])
    create_queue(store, "duel", "comparison", overlap=2)
    add_samples(store, "duel", [sample("d0", "Say something kind.", ("You are doing well.", "No."))])
    create_queue(store, "write replies", "demonstration")
    prompts = site.folder / "prompts.jsonl"
    write_jsonl(
        prompts, [Prompt(id="w0", user="u0", messages=ask("Explain tides to a child."), kind="generation").model_dump()]
    )
    load_prompts(store, prompts)
    add_prompts(store, "write replies", ["w0"])
    create_queue(store, "write prompts", "prompt", overlap=3)
    add_wishes(store, "write prompts", [PromptWish(form="few-shot", use_case="classification")])


def judge_france(site: Site, orders: dict[str, list[list[str]]]) -> None:
    """Rank what is in the queue "france" by each person's order of texts, the best first."""
    for name, levels in orders.items():
        while (task := next_task(site.store, site.people[name], "france")) is not None:
            ranks = [next(k for k, level in enumerate(levels, 1) if text in level) for text in task.outputs]
            ratings = [OutputRating(overall=max(1, 8 - 2 * rank)) for rank in ranks]
            payload = RankingPayload(ranks=ranks, ratings=ratings)
            submit(site.store, site.people[name], task.assignment, payload, seconds=60.0 + len(name))


def honeypot(site: Site) -> None:
    """One with a known answer."""
    pot = sample("pot", "How many legs does a spider have?", ("Eight.", "Six.", "A spider has 100 legs."))
    add_honeypot(site.store, "france", pot, [1, 2, 2])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Site]:
    """A site that serves until the block ends."""
    site = Site(folder)
    try:
        fill(site)
        site.start()
        yield site
    finally:
        site.close()

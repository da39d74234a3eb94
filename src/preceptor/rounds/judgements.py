"""Which of the rankings that came in may teach a reward model: of cleaned prompts, of nobody held out, each once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from preceptor.feedback.hygiene.normalise import normalise
from preceptor.feedback.hygiene.output import INDEX
from preceptor.feedback.hygiene.pii.scanner import Scanner, redact
from preceptor.feedback.hygiene.rules import key_digest, messages_key
from preceptor.feedback.schema import Prompt, Ranking
from preceptor.rounds.known import Known, judgement

Pii = Literal["redact", "drop", "off"]  # what becomes of personal data; nobody is there to look at "flag"

TIED = "rankings in which all are tied"
USED = "rankings that were used before"
HELDOUT = "rankings of held-out users or prompts"
UNCLEAN = "rankings of prompts that the cleaning left out"
PERSONAL = "rankings of responses with personal data"


class Judgements:
    """The rules on rankings. Their prompts must have gone through the run's pool of prompts before."""

    def __init__(
        self,
        owners: Mapping[bytes, tuple[str, str]],
        known: Known,
        prompts: Sequence[Prompt],
        pii: Pii,
    ) -> None:
        """``owners`` and ``prompts`` are those of the pool: :func:`owners_of`, and the prompts as they are there."""
        self._owners, self._known, self._pii = owners, known, pii
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._scanner: Scanner | None = None

    def usable(self, rankings: Sequence[Ranking], left_out: Counter[str]) -> list[Ranking]:
        """The rankings to learn from, with the cleaned words of their prompts; why others are not is counted."""
        kept = []
        for ranking in rankings:
            found = self._look(ranking)
            if isinstance(found, str):
                left_out[found] += 1
            else:
                self._known.judged.add(judgement(found))
                kept.append(found)
        return kept

    def _look(self, ranking: Ranking) -> Ranking | str:
        known = self._known
        if len(set(ranking.ranks)) == 1:
            return TIED
        if judgement(ranking) in known.judged:
            return USED
        key = messages_key(one.model_copy(update={"content": normalise(one.content)[0]}) for one in ranking.messages)
        prompt_id, user = self._owners.get(key_digest(key), ("", ""))
        # Where nobody knows who asked, the prompt is its own user: there is nobody to hold out.
        if key in known.heldout or user in known.heldout_users or (user != prompt_id and known.is_held_out(user)):
            return HELDOUT
        prompt = self._prompts.get(prompt_id)
        if prompt is None:
            return UNCLEAN
        cleaned = self._cleaned(ranking.model_copy(update={"prompt_id": prompt.id, "messages": prompt.messages}))
        if cleaned is None:
            return PERSONAL
        return USED if judgement(cleaned) in known.judged else cleaned

    def _cleaned(self, ranking: Ranking) -> Ranking | None:
        """A policy may repeat in its response what was taken out of the prompt."""
        if self._pii == "off":
            return ranking
        if self._scanner is None:
            self._scanner = Scanner()
        responses = []
        for response in ranking.responses:
            findings = self._scanner.find(response.text)
            if findings and self._pii == "drop":
                return None
            responses.append(response.model_copy(update={"text": redact(response.text, findings)}))
        return ranking.model_copy(update={"responses": responses})


def owners_of(pool: Path) -> dict[bytes, tuple[str, str]]:
    """(id, user) of each prompt in the pool by the hash of its words as they were when it came."""
    if not (pool / INDEX).exists():
        return {}
    import pyarrow.parquet as pq

    rows = pq.read_table(pool / INDEX, columns=["id", "user", "key"]).to_pylist()
    return {row["key"]: (row["id"], row["user"]) for row in rows}

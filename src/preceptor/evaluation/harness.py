"""Our models under lm-evaluation-harness (0.4.13), registered there as ``preceptor``.

    python -m preceptor.evaluation.harness --model preceptor --model_args pretrained=MODEL --tasks hellaswag

is the harness's own command line with the model known to it; ``pretrained`` is whatever ``models/sources.py`` finds.
``preceptor evaluate --tasks`` uses the same class. Needs ``pip install 'preceptor[harness]'``.

As everywhere here, no text can become a special token, so a task whose texts spell one out is read otherwise than by
the harness's own ``hf`` model. Chat templates of tasks are not applied.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from preceptor.evaluation.journal import Journal, Row
from preceptor.evaluation.likelihood import Choices, encode_choices, score_choices
from preceptor.evaluation.writing import Begun, write_texts
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import ComputeConfig, place
from preceptor.models.sources import find_model
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

SLOTS = 64  # contexts scored, or texts written, between two looks at the journal
MOST_TOKENS = 256  # of a generated text for which a task sets no limit, as in the harness


@register_model("preceptor")
class PreceptorLM(LM):  # type: ignore[misc]
    """The harness's view of a model: likelihoods of continuations, of whole texts, and generation."""

    def __init__(
        self,
        pretrained: str | tuple[Transformer, Tokenizer],
        device: str | None = None,
        dtype: str = "auto",
        max_length: int | str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        journal: Journal | None = None,
    ) -> None:
        """``pretrained``: what names a model, or one that is loaded; the rest are the harness's own words.

        ``batch_size`` is the number of texts generated at once; scoring chooses its batches itself.
        """
        super().__init__()
        if isinstance(pretrained, str):
            compute = ComputeConfig(device=_device(device), dtype=dtype, max_length=max_length)
            model, tokenizer = open_language_model(find_model(pretrained))
            pretrained = place(model, compute), tokenizer
        self._model, self._tokenizer = pretrained
        asked = str(batch_size)  # it may be "auto"
        self._slots = int(asked) if asked.isdigit() else max_batch_size or SLOTS
        self._journal = journal

    @property
    def tokenizer_name(self) -> str:
        """What tells requests of different tokenizers apart in the harness's cache."""
        return self._tokenizer.fingerprint

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(log-likelihood, whether greedy decoding gives it) of each (context, continuation).

        The continuations of one context are scored together.
        """
        places: dict[str, list[int]] = {}
        for place_, request in enumerate(requests):
            places.setdefault(request.args[0], []).append(place_)
        asked = [(context, [requests[i].args[1] for i in group]) for context, group in places.items()]

        def make(group: list[int]) -> list[Row]:
            found = score_choices(self._model, [self._choices(*asked[i]) for i in group])
            return [
                {
                    "context": asked[i][0],
                    "continuations": asked[i][1],
                    "logprobs": [one.logprob for one in scored],
                    "greedy": [one.greedy for one in scored],
                }
                for i, scored in zip(group, found, strict=True)
            ]

        result: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for row, group in zip(self._kept("loglikelihood", asked, make), places.values(), strict=True):
            for place_, pair in zip(group, zip(row["logprobs"], row["greedy"], strict=True), strict=True):
                result[place_] = pair
        return result

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """The log-likelihood of each whole text, in windows of the model's context."""
        texts = [request.args[0] for request in requests]

        def make(group: list[int]) -> list[Row]:
            windows = [self._windows(texts[i]) for i in group]
            scored = iter(score_choices(self._model, [one for of_text in windows for one in of_text]))
            sums = [sum(next(scored)[0].logprob for _ in of_text) for of_text in windows]
            return [{"text": texts[i], "logprob": float(total)} for i, total in zip(group, sums, strict=True)]

        return [row["logprob"] for row in self._kept("loglikelihood_rolling", texts, make)]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """What the model writes behind each context, up to the first of the texts that end it.

        A task that samples several texts asks the same several times; each time is one with noise of its own.
        """
        times: Counter[str] = Counter()
        asked = []
        for request in requests:
            context, kwargs = request.args[0], dict(request.args[1])
            asked.append((context, kwargs, times[context]))
            times[context] += 1

        def make(group: list[int]) -> list[Row]:
            begun = [self._begun(*asked[i]) for i in group]
            texts = write_texts(self._model, self._tokenizer, begun, self._slots)
            return [{"context": asked[i][0], "text": text} for i, text in zip(group, texts, strict=True)]

        return [row["text"] for row in self._kept("generate_until", asked, make)]

    def _choices(self, context: str, continuations: Sequence[str]) -> Choices:
        if context:
            return encode_choices(self._tokenizer, context, continuations)
        return Choices([self._prefix], self._tokenizer.encode_batch(continuations))

    @property
    def _prefix(self) -> int:
        """What stands before a text without a context: the begin token, or the end where there is none."""
        begin = self._tokenizer.bos_id
        return self._tokenizer.document_end_id if begin is None else begin

    def _windows(self, text: str) -> list[Choices]:
        ids = [*self._tokenizer.before_text, *self._tokenizer.encode(text)]
        windows = get_rolling_token_windows(
            token_list=ids, prefix_token=self._prefix, max_seq_len=self._model.context, context_len=1
        )
        return [Choices(context, [tokens]) for context, tokens in map(make_disjoint_window, windows)]

    def _begun(self, context: str, kwargs: Mapping[str, Any], time: int) -> Begun:
        ids = [*self._tokenizer.before_text, *self._tokenizer.encode(context)] or [self._prefix]
        return Begun(ids, *_sampling(kwargs), key=(context, time))

    def _kept(self, kind: str, asked: Sequence[Any], make: Callable[[list[int]], list[Row]]) -> list[Row]:
        """The rows of what is asked, out of the journal as far as they are there."""
        if self._journal is None:
            return [row for start in range(0, len(asked), SLOTS) for row in make(_group(start, len(asked)))]
        ids = [hashlib.sha256(json.dumps([kind, one]).encode()).hexdigest() for one in asked]
        return self._journal.fill(ids, make, size=SLOTS)


def _device(name: str | None) -> str:
    """The harness's command line asks for ``cuda:0`` on any machine, and its own models then take what there is."""
    kind = (name or "auto").partition(":")[0]
    return "auto" if kind == "cuda" and not torch.cuda.is_available() else kind


def _group(start: int, count: int) -> list[int]:
    return list(range(start, min(start + SLOTS, count)))


def _sampling(kwargs: Mapping[str, Any]) -> tuple[SamplingConfig, list[str]]:
    """The settings of a task's generation and the texts at which it ends."""
    given = normalize_gen_kwargs(dict(kwargs), MOST_TOKENS)
    until = given.get("until") or []
    sampling = SamplingConfig(
        temperature=given.get("temperature", 1.0) if given.get("do_sample") else 0.0,
        top_k=given.get("top_k", 0),
        top_p=given.get("top_p", 1.0),
        max_new_tokens=given["max_gen_toks"],
    )
    return sampling, [stop for stop in ([until] if isinstance(until, str) else until) if stop]


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()

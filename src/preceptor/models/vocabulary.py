"""Whether the weights have a row for every token that their tokenizer may hand out, and rows for new tokens."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from preceptor.errors import InputError
from preceptor.files import read_json, read_text
from preceptor.models.transformer import Transformer

_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "mask_token")


def check_vocabulary(directory: Path, rows: int) -> None:
    """An :class:`InputError` if the tokenizer beside the weights has ids beyond their ``rows`` of embeddings.

    Spare rows do no harm. Nor does a special token beyond them that neither has a role nor stands in the chat
    template, since no text becomes it: Gemma 3's tokenizer has one for images in the models without eyes too.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        return
    found = read_json(path)
    try:
        vocabulary, added = found["model"]["vocab"], found.get("added_tokens", [])
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        beyond = {token["id"]: token for token in added if token["id"] >= rows}
        unused = {one for one, token in beyond.items() if token["special"] and not _used(directory, token["content"])}
        highest = max({*ids, *beyond} - unused, default=-1)
    except (KeyError, TypeError, AttributeError):
        return  # Tokenizer.load says what is wrong with it
    if highest >= rows:
        raise InputError(
            f"{path}: has a token {highest}, but the weights have {rows} rows of embeddings; "
            "use the tokenizer that the model was trained with"
        )


@torch.no_grad()
def give_rows(model: Transformer, new_ids: Collection[int], known: int) -> None:
    """Give tokens that the model was not trained with, ``new_ids``, their rows of embedding and head, in place.

    Each row is the mean of the first ``known`` ones, those of the tokens the model knows (Hewitt 2021, "Initializing
    New Word Embeddings for Pretrained Language Models"): a new token is then about as likely as an average one, which
    hardly changes the probabilities of the others. Small random rows would have a logit near 0, where those of most
    tokens are far below. The matrices grow if need be; a row they had to spare, untrained, is overwritten.
    """
    if not new_ids:
        return
    rows = model.config.vocab_size
    count = max(rows, *(number + 1 for number in new_ids))
    fresh = sorted({*new_ids, *range(rows, count)})

    def grown(weight: Tensor) -> nn.Parameter:
        matrix = torch.cat([weight, weight.new_empty(count - rows, weight.shape[1])])
        matrix[fresh] = weight[:known].mean(0)
        return nn.Parameter(matrix)

    tied = model.head.weight is model.embed.weight
    model.embed.weight = grown(model.embed.weight)
    model.head.weight = model.embed.weight if tied else grown(model.head.weight)
    model.embed.num_embeddings = model.head.out_features = count
    model.config = replace(model.config, vocab_size=count)


def _used(directory: Path, token: str) -> bool:
    """Whether a special token has a role or stands in a chat template."""
    path = directory / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    config = config if isinstance(config, dict) else {}
    templates = [read_text(path) for path in sorted(directory.glob("*.jinja"))] + [str(config.get("chat_template"))]
    return token in [_content(config.get(role)) for role in _ROLES] or any(token in one for one in templates)


def _content(value: Any) -> Any:
    """A token in tokenizer_config.json: its text, or an object that has it."""
    return value.get("content") if isinstance(value, dict) else value

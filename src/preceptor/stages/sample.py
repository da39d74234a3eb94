"""Stage: K responses to each prompt, from one or several models, for people to rank."""

from pathlib import Path
from typing import Any

from pydantic import Field

from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.feedback.schema import Prompt, Response, Sample
from preceptor.files import read_jsonl, write_jsonl
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import numpy_rng
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import COMPUTE, ComputeConfig, place
from preceptor.text.conversation import render_prompt
from preceptor.training.progress import Progress


class SampleConfig(Config):
    """The ``[sample]`` table."""

    prompts: int = Field(3200, ge=1, description="Prompts to sample for, drawn from all; each round draws its own.")
    responses: int = Field(5, ge=2, le=9, description="K, the responses a labeler ranks; the paper used 4 to 9.")
    oversample: float = Field(
        1.4,
        ge=1,
        description="Responses generated for each one that is kept: repeated texts teach nothing and are collapsed.",
    )
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    max_new_tokens: int = Field(48, ge=1, description="Longest response in tokens.")


def sample(
    config: SampleConfig,
    *,
    models: dict[str, Path],
    prompts: Path,
    out: Path,
    seed: int,
    progress: Progress,
    compute: ComputeConfig = COMPUTE,
) -> dict[str, Any]:
    """Write up to K different responses for each chosen prompt to the file ``out``.

    The models share the responses evenly. A prompt to which all models together find only
    one response cannot be ranked and is left out; the summary counts them.
    """
    chosen = _choose(read_jsonl(prompts, Prompt), config.prompts, seed)
    per_model = -(-round(config.responses * config.oversample) // len(models))
    found: list[list[Response]] = [[] for _ in chosen]
    generated = truncated = 0
    with progress.stage("sample", None) as stage:
        total = len(models) * len(chosen) * per_model
        stage.start(total)
        for name, path in models.items():
            texts, cut = _responses(
                config, compute, path, name, chosen, per_model, seed, lambda n, base=generated: stage.log(base + n)
            )
            generated += len(chosen) * per_model
            truncated = max(truncated, cut)
            for responses, more in zip(found, texts, strict=True):
                responses += [Response(text=text, model=name) for text in more]
        samples = [
            Sample(prompt_id=prompt.id, messages=prompt.messages, responses=kept)
            for prompt, responses in zip(chosen, found, strict=True)
            if len(kept := _different(responses, config.responses, seed, prompt.id)) > 1
        ]
        if not samples:
            raise InputError(f"{prompts}: every prompt got one and the same response each time; nothing can be ranked")
        stage.note(f"{generated:,} responses to {len(chosen):,} prompts; {len(samples):,} have something to rank")
        if truncated:
            stage.note(f"{truncated} of {len(chosen)} prompts were longer than the context and were truncated")
    write_jsonl(out, samples)
    return {"prompts": len(chosen), "ranked": len(samples), "generated": generated, "truncated": truncated}


def _choose(prompts: list[Prompt], count: int, seed: int) -> list[Prompt]:
    order = numpy_rng(seed, "sample", "prompts").permutation(len(prompts))
    return [prompts[i] for i in sorted(order[:count])]


def _responses(
    config: SampleConfig,
    compute: ComputeConfig,
    path: Path,
    name: str,
    prompts: list[Prompt],
    count: int,
    seed: int,
    on_progress: Any,
) -> tuple[list[list[str]], int]:
    """The texts of ``count`` responses to each prompt, and how many prompts had to be truncated."""
    model, tokenizer = open_language_model(path)
    place(model, compute)
    sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens, seed=seed)
    room = sampling.prompt_room(model.context)
    rendered = [render_prompt(tokenizer, prompt.messages, room) for prompt in prompts]
    groups = generate(
        model,
        [prompt.ids for prompt in rendered],
        sampling,
        samples_per_prompt=count,
        keys=[("sample", name, prompt.id) for prompt in prompts],
        eos_id=tokenizer.eos_ids,
        pad_id=tokenizer.pad_id,
        max_slots=256,
        on_progress=lambda done, _: on_progress(done),
    )
    texts = [[tokenizer.decode(one.ids).strip() for one in group] for group in groups]
    return texts, sum(prompt.truncated for prompt in rendered)


def _different(responses: list[Response], count: int, seed: int, prompt_id: str) -> list[Response]:
    """Up to ``count`` responses of different text, none empty, in an order drawn from the seed.

    The order mixes the models, so that no place in the list tells a labeler who wrote what.
    """
    first: dict[str, Response] = {}
    for response in responses:
        if response.text:
            first.setdefault(response.text, response)
    kept = list(first.values())
    order = numpy_rng(seed, "sample", "order", prompt_id).permutation(len(kept))
    return [kept[i] for i in order[:count]]

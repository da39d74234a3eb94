"""Tasks for people: the one layer that anything which talks to labelers calls (pages, the REST API, simulations).

Functions take the store first and raise the errors of `feedback.store.errors`. In one line each:

- work: :func:`next_task`, :func:`task`, :func:`submit`, :func:`correct`, :func:`skip`, :func:`release`,
  :func:`extend`, :func:`save_draft`, :func:`held`
- queues: :func:`create_queue`, :func:`change_queue`, :func:`queues`, :func:`queue`; filled by :func:`add_prompts`,
  :func:`add_wishes`, :func:`add_samples`, :func:`add_honeypot`
- looking on: `tasks.quality` and `tasks.screening`; :func:`withdraw`
"""

from preceptor.feedback.tasks.items import Added, add_honeypot, add_prompts, add_samples, add_wishes
from preceptor.feedback.tasks.locks import SKIP_REASONS, extend, release, save_draft, skip
from preceptor.feedback.tasks.next import next_task
from preceptor.feedback.tasks.payloads import (
    AnyPayload,
    ComparisonPayload,
    DemonstrationPayload,
    Example,
    OutputRating,
    PromptPayload,
    RankingPayload,
)
from preceptor.feedback.tasks.queueing import QueueInfo, change_queue, create_queue, queue, queues
from preceptor.feedback.tasks.shapes import PromptWish, Receipt, Task
from preceptor.feedback.tasks.submit import correct, submit, withdraw
from preceptor.feedback.tasks.view import held, task

__all__ = [
    "SKIP_REASONS",
    "Added",
    "AnyPayload",
    "ComparisonPayload",
    "DemonstrationPayload",
    "Example",
    "OutputRating",
    "PromptPayload",
    "PromptWish",
    "QueueInfo",
    "RankingPayload",
    "Receipt",
    "Task",
    "add_honeypot",
    "add_prompts",
    "add_samples",
    "add_wishes",
    "change_queue",
    "correct",
    "create_queue",
    "extend",
    "held",
    "next_task",
    "queue",
    "queues",
    "release",
    "save_draft",
    "skip",
    "submit",
    "task",
    "withdraw",
]

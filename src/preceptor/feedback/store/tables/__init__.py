"""The tables of the store (docs/store.md draws them)."""

from preceptor.feedback.store.tables.base import Base
from preceptor.feedback.store.tables.content import StoredPrompt, StoredResponse
from preceptor.feedback.store.tables.judgements import Forgetting, Judgement, Ranked, Rated, WrittenDemonstration
from preceptor.feedback.store.tables.people import (
    Audit,
    Forgotten,
    Invitation,
    Person,
    Published,
    Screening,
    Setting,
    SignIn,
)
from preceptor.feedback.store.tables.queues import Assignment, Draft, Item, ItemAuthor, ItemResponse, Queue

__all__ = [
    "Assignment",
    "Audit",
    "Base",
    "Draft",
    "Forgetting",
    "Forgotten",
    "Invitation",
    "Item",
    "ItemAuthor",
    "ItemResponse",
    "Judgement",
    "Person",
    "Published",
    "Queue",
    "Ranked",
    "Rated",
    "Screening",
    "Setting",
    "SignIn",
    "StoredPrompt",
    "StoredResponse",
    "WrittenDemonstration",
]

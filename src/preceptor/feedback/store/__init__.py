"""The store of feedback: people, prompts, responses, work, judgements. One SQLite file, or PostgreSQL by URL.

Needs the extra ``preceptor[label]``. What the tables are and what holds between them: docs/store.md.
"""

from preceptor.errors import InputError

try:
    import alembic  # noqa: F401
    import sqlalchemy  # noqa: F401
except ImportError:
    raise InputError("a store of feedback needs more packages; pip install 'preceptor[label]'") from None

from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.migrate import open_store

__all__ = ["Store", "open_store"]

"""Readers of feedback that others have collected, and of plain text.

A format is recognised by what a record holds, never by the file's name. A source is a local file or a dataset of the
hub; a file may be JSON lines, a JSON array or object, CSV, TSV or Parquet, plain or packed. Every reader ends in
the types of :mod:`preceptor.feedback.schema`.
"""

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.documents import Documents, read_documents
from preceptor.feedback.readers.formats import read_demonstrations, read_prompts, read_rankings

__all__ = [
    "Collected",
    "Documents",
    "read_demonstrations",
    "read_documents",
    "read_prompts",
    "read_rankings",
]

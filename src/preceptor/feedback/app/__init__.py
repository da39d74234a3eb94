"""The labeling app: a REST API over the service layer, and the pages that use it. Routes: docs/labeling-api.md.

Needs the extra ``preceptor[label]``.
"""

from preceptor.errors import InputError

try:
    import argon2  # noqa: F401
    import fastapi  # noqa: F401
    import markdown_it  # noqa: F401
    import nh3  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError:
    raise InputError("the labeling app needs more packages; pip install 'preceptor[label]'") from None

from preceptor.feedback.app.server import create_app
from preceptor.feedback.app.settings import AppSettings

__all__ = ["AppSettings", "create_app"]

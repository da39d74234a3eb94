"""Models served to people and programs. Needs the extra ``preceptor[label]``, whose web server it shares."""

from preceptor.errors import InputError

try:
    import fastapi  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError:
    raise InputError("serving needs more packages; pip install 'preceptor[label]'") from None

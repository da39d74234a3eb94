"""How the store and the task layer say no. Each is one line for a person; the HTTP layer gives each its status."""

from preceptor.errors import InputError


class NotFoundError(InputError):
    """There is no such thing, or it is none of this person's business; the two are not told apart (404)."""


class ForbiddenError(InputError):
    """This person may not do this (403)."""


class StaleError(InputError):
    """It came too late, or a second time and not the same: somebody holds the slot, or it is done (409).

    What was sent is not lost by it: a page keeps the text, and a draft stays in the store.
    """


class InvalidError(InputError):
    """What was sent makes no sense, and sending it again will not help (422)."""

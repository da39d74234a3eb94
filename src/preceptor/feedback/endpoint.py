"""A language model behind an OpenAI-compatible address that is asked to judge."""

import os
import time
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError

if TYPE_CHECKING:
    import httpx2

PATIENCE = 6  # tries at an endpoint that is away or busy, 1, 2, 4... seconds apart
TIMEOUT = 120.0


class Endpoint:
    """Connections to ``url/chat/completions``; the key comes from the environment alone.

    ``named`` is what the user gave the address by, for the one error that needs it.
    """

    def __init__(self, url: str, model: str, key_variable: str, named: str) -> None:
        try:
            import httpx2
        except ImportError:
            raise InputError("an outside judge needs more packages; pip install 'preceptor[label]'") from None
        key = os.environ.get(key_variable, "")
        self._given, self._model, self._key_variable, self._named = url, model, key_variable, named
        self._url = f"{url.rstrip('/')}/chat/completions"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(timeout=TIMEOUT, headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def say(self, system: str, question: str, temperature: float) -> str | None:
        """The text of its answer; None if the answer is not of the form that it should have.

        An endpoint that is away or busy is waited for; :class:`InputError` if that does not help, or if it refuses.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        return _content(self._post({"model": self._model, "messages": messages, "temperature": temperature}))

    def _post(self, body: dict[str, Any]) -> "httpx2.Response":
        import httpx2

        trouble = ""
        for attempt in range(PATIENCE):
            if attempt:
                time.sleep(2.0 ** (attempt - 1))
            try:
                answer = self._http.post(self._url, json=body)
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
                raise InputError(f"{self._named} {self._given}: is no address; begin with http://") from None
            except httpx2.TransportError as error:
                trouble = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return answer
            trouble = f"status {answer.status_code}"
            if answer.status_code not in (408, 409, 429) and answer.status_code < 500:
                hint = f"; is {self._key_variable} set?" if answer.status_code in (401, 403) else ""
                raise InputError(f"{self._url}: refuses, status {answer.status_code}{hint}")
        raise InputError(f"{self._url}: gives no answer ({trouble}); start again to go on")


def _content(answer: "httpx2.Response") -> str | None:
    """The text of an answer; None if it is not of the form that it should have."""
    try:
        text = answer.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return text if isinstance(text, str) else None

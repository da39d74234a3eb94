"""What a tokenizer is put together from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from preceptor.text.codec import Codec
from preceptor.text.layout import Layout
from preceptor.text.specials import Specials


@dataclass(frozen=True)
class Parts:
    """The text's ids, the special ids, the layout of conversations, and the files that all of this is saved in."""

    codec: Codec
    specials: Specials
    layout: Layout
    vocab_size: int  # ids run from 0 to this; a model may have more rows
    files: Callable[[], Mapping[str, bytes]]  # made when they are asked for
    added: Mapping[str, int]  # tokens that the loaded vocabulary did not have, and their ids, the last ones
    before_text: tuple[int, ...] = ()  # what transformers puts before a text by itself

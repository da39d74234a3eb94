"""The layout of a chat template: its sketches as frames of token ids."""

from itertools import pairwise

from preceptor.text.codec import Codec
from preceptor.text.layout import Fixed, Frame, Opening, Roles, Run, Span
from preceptor.text.template import Sketch, Template

# What the `tokenizers` library takes for it.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class TemplateLayout:
    """A model's own chat format. ``eos_id`` ends the replies of a template that writes no end token itself."""

    def __init__(self, template: Template, codec: Codec, eos_id: int) -> None:
        self._template, self._codec, self._eos_id = template, codec, eos_id
        self._frames: dict[Roles, Frame] = {}

    def frame(self, roles: Roles) -> Frame:
        """See :class:`preceptor.text.layout.Layout`."""
        if roles not in self._frames:
            self._frames[roles] = _Cutter(self._template.sketch(roles), roles, self._codec, self._eos_id).frame()
        return self._frames[roles]


def end_of_turn(template: Template, codec: Codec) -> int | None:
    """The special token that the template writes after an assistant's text, if it does."""
    sketch = template.sketch(("user", "assistant"))
    _, last = sketch.contents[-1]
    return next((token for start, _, token in codec.special_tokens(sketch.text) if start >= last), None)


class _Cutter:
    """Cuts one sketch: at its special tokens, and where the assistant's turns begin.

    The prompt of a reply is encoded without it, so that sampling and training see the same ids; all other text
    between two special tokens is encoded as a whole, as transformers does it.
    """

    def __init__(self, sketch: Sketch, roles: Roles, codec: Codec, eos_id: int) -> None:
        self.sketch, self.codec = sketch, codec
        self.items: list[Fixed | Run] = []
        self.reply = 0
        self.specials = codec.special_tokens(sketch.text)
        last = self._special_after(sketch.contents[-1][1])
        # Without an end token behind the last reply eos takes the place of whatever text is there.
        self.end = self.specials[last][2] if last is not None else eos_id
        self.stop = self.specials[last][1] if last is not None else sketch.contents[-1][1]
        self.adds_eos = last is None
        self.trained = [self._turn(i) for i, role in enumerate(roles) if role == "assistant"]

    def _special_after(self, place: int) -> int | None:
        return next((n for n, (start, _, _) in enumerate(self.specials) if start >= place), None)

    def _turn(self, index: int) -> tuple[int, int]:
        """Where the trained text of an assistant's turn begins and ends, its end token included."""
        begin, end = self.sketch.replies[index], self.sketch.contents[index][1]
        following = self._special_after(end)
        if following is not None and self.specials[following][2] == self.end:
            end = self.specials[following][1]
        # The begin may not cut a special token in two.
        inside = (start for start, stop, _ in self.specials if start < begin < stop)
        return next(inside, begin), end

    def frame(self) -> Frame:
        """The special tokens and the runs of text between them, in order, up to where the template's frame ends."""
        at = 0
        opening: Opening = "start"
        for start, stop, token in self.specials:
            if start >= self.stop:
                break
            self._text(at, start, opening)
            self._mark_reply(start)
            self.items.append(Fixed((token,), self._is_trained(start)))
            at, opening = stop, "special"
        self._text(at, self.stop, opening)
        if self.adds_eos:
            self.items.append(Fixed((self.end,), True))
        strips = tuple(self._strips(i) for i in range(len(self.sketch.contents)))
        return Frame(tuple(self.items), self.reply, strips if any(one != ("", "") for one in strips) else ())

    def _strips(self, index: int) -> tuple[str | None, str | None]:
        """What the template strips from a message; and its neighbours, where special tokens swallow white space."""
        (start, stop), (left, right) = self.sketch.contents[index], self.sketch.strips[index]
        for begin, end, token in self.specials:
            swallows_left, swallows_right = self.codec.swallows[token]
            if end == start and swallows_right and left is not None:
                left = WHITE_SPACE
            if begin == stop and swallows_left and right is not None:
                right = WHITE_SPACE
        return left, right

    def _text(self, start: int, stop: int, opening: Opening) -> None:
        """The text from ``start`` to ``stop``, in one run or, where replies begin in it, in several."""
        begins = sorted(begin for begin, _ in self.trained if start < begin < stop)
        for left, right in zip([start, *begins], [*begins, stop], strict=True):
            if left < right:
                self._mark_reply(left)
                self._run(left, right, opening)
                opening = "middle"

    def _mark_reply(self, place: int) -> None:
        if place <= self.trained[-1][0]:
            self.reply = len(self.items)

    def _is_trained(self, place: int) -> bool:
        return any(begin <= place < end for begin, end in self.trained)

    def _run(self, start: int, stop: int, opening: Opening) -> None:
        borders = {start, stop}
        for left, right in [*self.sketch.contents, *self.trained]:
            borders |= {place for place in (left, right) if start < place < stop}
        places = sorted(borders)
        message_at = {left: index for index, (left, _) in enumerate(self.sketch.contents)}
        spans = []
        for left, right in pairwise(places):
            text = message_at.get(left, self.sketch.text[left:right])
            spans.append(Span(text, self._is_trained(left)))
        if any(isinstance(span.text, int) for span in spans):
            self.items.append(Run(opening, tuple(spans)))
            return
        for part in self.codec.encode_parts(opening, [str(span.text) for span in spans]):
            self.items.append(Fixed(tuple(part.ids), spans[part.text].trained))

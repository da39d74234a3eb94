"""Packing: every token in its place once, nothing split that must stay whole, padding counted."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.text.conversation import Rendered
from preceptor.text.packing import pack_conversations, pack_documents, pad_batch, padding_share
from preceptor.text.tokenizer import BEGIN_ID, PAD_ID

documents_strategy = st.lists(st.lists(st.integers(7, 500), max_size=40), max_size=20)


def one(size: int, first: int) -> Rendered:
    """A conversation of ``size`` tokens that no other shares; every second is trained on."""
    return Rendered([first + i for i in range(size)], [i % 2 == 1 for i in range(size)], False)


@given(documents=documents_strategy, length=st.integers(1, 33))
def test_documents_lose_no_token_and_fill_their_rows(documents: list[list[int]], length: int) -> None:
    ids_NT, segments_NT = pack_documents(documents, length)
    assert ids_NT.shape == segments_NT.shape and ids_NT.shape[1] == length
    assert ids_NT.dtype == segments_NT.dtype == np.int32
    stream = [token for document in documents if document for token in [BEGIN_ID, *document]]
    real = segments_NT > 0
    assert ids_NT[real].tolist() == stream
    assert (ids_NT[~real] == PAD_ID).all()
    # Only the last row has padding, only at its end, and it is never a row of padding alone.
    assert real[:-1].all()
    assert real.sum() == len(stream) and (not len(ids_NT) or real[-1, 0])
    assert len(ids_NT) == -(-len(stream) // length)


@given(documents=documents_strategy, length=st.integers(1, 33))
def test_document_segments(documents: list[list[int]], length: int) -> None:
    ids_NT, segments_NT = pack_documents(documents, length)
    for ids_T, segments_T in zip(ids_NT, segments_NT, strict=True):
        real = segments_T > 0
        steps = np.diff(segments_T[real])
        assert segments_T[0] == 1 and set(steps.tolist()) <= {0, 1}
        # A new segment starts exactly where a document begins.
        assert ((ids_T[real][1:] == BEGIN_ID) == (steps == 1)).all()


def test_a_document_goes_on_in_the_next_row_as_a_new_segment() -> None:
    ids_NT, segments_NT = pack_documents([[11, 12, 13], [], [21], [BEGIN_ID, 31]], 3)
    assert ids_NT.tolist() == [[1, 11, 12], [13, 1, 21], [1, 31, 0]]
    assert segments_NT.tolist() == [[1, 1, 1], [1, 2, 2], [1, 1, 0]]
    assert padding_share(segments_NT) == pytest.approx(1 / 9)


def test_no_documents_give_no_rows() -> None:
    ids_NT, segments_NT = pack_documents([[], []], 8)
    assert ids_NT.shape == segments_NT.shape == (0, 8)
    assert padding_share(segments_NT) == 0.0
    with pytest.raises(InputError, match="length 0"):
        pack_documents([[7]], 0)


@given(sizes=st.lists(st.integers(1, 20), max_size=40), extra=st.integers(0, 20))
def test_conversations_are_whole_and_each_is_there_once(sizes: list[int], extra: int) -> None:
    length = max(sizes, default=1) + extra
    rendered = [one(size, 1000 * (i + 1)) for i, size in enumerate(sizes)]
    packed = pack_conversations(rendered, length, pad_id=0)
    assert packed.ids.shape == packed.segments.shape == packed.mask.shape == (len(packed.rows), length)
    assert sorted(index for row in packed.rows for index in row) == list(range(len(sizes)))
    for r, row in enumerate(packed.rows):
        assert packed.segments[r].max() == len(row)
        for segment, index in enumerate(row, start=1):
            (places,) = np.nonzero(packed.segments[r] == segment)
            assert (np.diff(places) == 1).all()
            assert packed.ids[r, places].tolist() == rendered[index].ids
            assert packed.mask[r, places].tolist() == rendered[index].mask
    padding = packed.segments == 0
    assert (packed.ids[padding] == 0).all() and not packed.mask[padding].any()
    assert packed.padding == pytest.approx(padding.mean() if padding.size else 0.0)


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=60), extra=st.integers(0, 20))
def test_rows_are_few(sizes: list[int], extra: int) -> None:
    length = max(sizes) + extra
    rows = pack_conversations([one(size, 7) for size in sizes], length, 0).rows
    # Any two rows together hold more than one row does, else the later would have gone into the earlier.
    filled = sorted(sum(sizes[index] for index in row) for row in rows)
    assert len(filled) < 2 or filled[0] + filled[1] > length


def test_best_fit_takes_the_fullest_row_that_has_room() -> None:
    packed = pack_conversations([one(size, 100 * size) for size in (2, 7, 8, 3, 2)], 10, 0)
    assert packed.rows == [[2, 0], [1, 3], [4]]
    assert packed.padding == pytest.approx(8 / 30)


def test_a_conversation_longer_than_a_row_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="conversation 1 has 9 tokens and a row holds 8; render it with max_length=8"):
        pack_conversations([one(3, 7), one(9, 7)], 8, 0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_pad_batch(side: str) -> None:
    ids_BT, segments_BT = pad_batch([[7, 8, 9], [5], []], pad_id=0, side=side)  # type: ignore[arg-type]
    one_row = [5, 0, 0] if side == "right" else [0, 0, 5]
    assert ids_BT.tolist() == [[7, 8, 9], one_row, [0, 0, 0]]
    assert segments_BT.tolist() == [[1, 1, 1], [int(token > 0) for token in one_row], [0, 0, 0]]
    assert ids_BT.dtype == segments_BT.dtype == torch.int64


def test_pad_batch_of_nothing_and_of_a_wrong_side() -> None:
    assert pad_batch([], 0)[0].shape == (0, 0)
    with pytest.raises(ValueError, match="side"):
        pad_batch([[1]], 0, side="top")  # type: ignore[arg-type]

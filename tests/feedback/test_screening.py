"""The cut-offs of the screening, by hand."""

from preceptor.feedback.screening import flag_agreement, ranking_agreement


def test_sensitive_or_not_is_what_counts_not_which_flag() -> None:
    given = [{"violent"}, set(), {"opinion"}, {"hallucination"}]
    known = [{"sexual"}, set(), set(), {"denigrates"}]
    score = flag_agreement(given, known)
    assert score is not None and (score.value, score.n, score.passed) == (0.75, 4, True)
    assert flag_agreement([], []) is None


def test_only_pairs_that_are_known_to_differ_are_asked_about() -> None:
    score = ranking_agreement([([1, 2, 2], [1, 2, 3]), ([2, 1], [1, 1])])
    assert score is not None and (score.value, score.n, score.passed) == (2 / 3, 3, False)
    assert ranking_agreement([([2, 1], [1, 1])]) is None

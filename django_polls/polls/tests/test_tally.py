"""Percentages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polls.tally import percentages


@pytest.mark.parametrize(
    ("votes", "shares"),
    [
        ([], []),
        ([0, 0], [0, 0]),
        ([1, 1, 1], [34, 33, 33]),
        ([1, 0], [100, 0]),
        ([2, 1], [67, 33]),
        ([1, 999], [0, 100]),
        ([9223372036854775807, 1], [100, 0]),
    ],
)
def test_examples(votes: list[int], shares: list[int]) -> None:
    assert percentages(votes) == shares


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=30))
def test_percentages_add_up_and_are_off_by_less_than_one(votes: list[int]) -> None:
    shares = percentages(votes)
    total = sum(votes)
    assert sum(shares) == (100 if total else 0)
    if total:
        assert all(abs(share * total - count * 100) < total for share, count in zip(shares, votes, strict=True))

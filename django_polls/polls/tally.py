"""Percentages of votes."""

from collections.abc import Sequence


def percentages(votes: Sequence[int]) -> list[int]:
    """Return integer percentages that add up to 100, or zeros without votes.

    Rounded separately, three equal shares would be 33 % each. Instead, the shares with the largest remainders are
    rounded up, earlier ones first if they are equal.
    """
    total = sum(votes)
    if total == 0:
        return [0] * len(votes)
    shares = [count * 100 // total for count in votes]
    by_remainder = sorted(range(len(votes)), key=lambda index: -(votes[index] * 100 % total))
    for index in by_remainder[: 100 - sum(shares)]:
        shares[index] += 1
    return shares

"""From votes to shares."""

from collections.abc import Sequence


def percentages(votes: Sequence[int]) -> list[int]:
    """Whole percentages that add up to 100, or all zero when nobody has voted.

    Rounding each by itself shows 33 % three times; here those with the largest remainders are rounded up, the earlier
    one first when they are equal.
    """
    total = sum(votes)
    if total == 0:
        return [0] * len(votes)
    shares = [count * 100 // total for count in votes]
    by_remainder = sorted(range(len(votes)), key=lambda index: -(votes[index] * 100 % total))
    for index in by_remainder[: 100 - sum(shares)]:
        shares[index] += 1
    return shares

"""Password hashers."""

from django.contrib.auth.hashers import check_password, identify_hasher, make_password


def test_argon2_is_the_default_with_little_memory() -> None:
    encoded = make_password("a long enough passphrase")
    assert encoded.startswith("argon2$argon2id$")
    assert "m=19456,t=2,p=1" in encoded
    assert identify_hasher(encoded).memory_cost * 1024 * 8 < 160 * 2**20
    assert check_password("a long enough passphrase", encoded)

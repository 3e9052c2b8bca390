"""Password hasher with little memory use, for pods."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class ContainerArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id with the memory that OWASP's password storage guide recommends.

    Django's defaults take 100 MiB for each login, so eight parallel logins would exceed the memory limit of a typical
    pod. Hashes with other parameters are renewed at the next login.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

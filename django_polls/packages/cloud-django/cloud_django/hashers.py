"""Password hashing that fits into a pod."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class ContainerArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id with the memory that OWASP's password storage guide asks for.

    Django's own parameters take 100 MiB for each log-in: eight threads that are asked at once would be killed by the
    memory limit of an ordinary pod. Hashes made with other parameters are renewed at the next log-in.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

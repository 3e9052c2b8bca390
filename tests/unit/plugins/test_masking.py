"""Values of Secrets are masked in all forms."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import report
from workload_cases import Case

PASSWORD = "p@ss:w/rd?#% '\"\\é🔑"


def test_a_long_message_is_cut_to_one_line() -> None:
    assert masking.shorten("a\n b", 10) == "a b"
    assert masking.shorten("x" * 20, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    "seen",
    [
        PASSWORD,
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.urlsafe_b64encode(PASSWORD.encode()).decode(),
        base64.b64encode(PASSWORD.encode() + b"\n").decode(),
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        quote_plus(PASSWORD),
        quote(PASSWORD, safe="").lower(),
        json.dumps(PASSWORD)[1:-1],
        repr(PASSWORD)[1:-1],
        PASSWORD.replace("'", "''"),
    ],
)
def test_a_secret_is_masked_in_all_forms(seen: str) -> None:
    masked = masking.mask(f"before {seen} after", masking.all_forms([PASSWORD]))
    assert masked.startswith(f"before {masking.MASK}")
    assert masked.endswith(" after")
    assert seen not in masked


@pytest.mark.parametrize("user", ["a", "ab", "abc"])
def test_a_secret_is_masked_inside_longer_base64(user: str) -> None:
    """As in an Authorization header, where the name of the user shifts the password."""
    password = "correct-horse-battery"
    header = base64.b64encode(f"{user}:{password}".encode()).decode()
    masked = masking.mask(header, masking.all_forms([password]))
    assert masking.MASK in masked
    assert len(masked.replace(masking.MASK, "")) <= len(header) - len(password)


def test_each_line_of_a_long_secret_is_masked() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----\n"
    assert "kqhkiG9w0BAQ" not in masking.mask("read kqhkiG9w0BAQ only", masking.all_forms([key]))


def test_binary_values_are_masked_in_base64() -> None:
    raw = b"\xff\xfe\x00\x01secret"
    assert masking.mask(base64.b64encode(raw).decode(), masking.all_forms([raw])) == masking.MASK


def test_short_values_are_not_masked() -> None:
    assert masking.all_forms(["abc", "", "x  "]) == []
    assert masking.mask("port 443", masking.all_forms(["443"])) == "port 443"
    assert masking.mask("a tree", masking.all_forms(["tree"])) == f"a {masking.MASK}"


def test_the_longest_value_is_masked_completely() -> None:
    forms = masking.all_forms(["sesame", "sesame-open"])
    assert forms.index("sesame-open") < forms.index("sesame")
    assert masking.mask("use sesame-open now", forms) == f"use {masking.MASK} now"


def test_overlapping_values_are_masked_together() -> None:
    assert masking.mask("x abcdefgh y", masking.all_forms(["abcdef", "defgh"])) == f"x {masking.MASK} y"
    assert masking.mask("aaaaaa", masking.all_forms(["aaaa"])) == masking.MASK


def test_a_value_inside_a_public_name_stays_readable() -> None:
    public = report.public_names(Case("deployment_done").objects)
    forms = masking.all_forms(["polls", "s3cr3t"])
    name = Case("deployment_done").pod()["metadata"]["name"]
    assert masking.mask(f"pod {name}: polls s3cr3t", forms, public) == f"pod {name}: {masking.MASK} {masking.MASK}"


def test_a_value_that_is_a_whole_public_name_is_masked() -> None:
    assert masking.mask("as polls-web", masking.all_forms(["polls-web"]), {"polls-web"}) == f"as {masking.MASK}"


def test_public_lines_of_a_service_file_stay() -> None:
    """Otherwise, messages would lose the host and the user of a connection."""
    values = ["host=db.example.org", "port=5432", "dbname=shop", "user=shop_app", "sslmode=verify-full"]
    forms = masking.all_forms(["\n".join(["[default]", *values, "password=hunter2", ""])])
    text = f"{' '.join(values)} password=hunter2"
    assert masking.mask(text, forms) == f"{' '.join(values)} {masking.MASK}"
    other = masking.all_forms(["[other]\nuser=shop_app\n"])
    assert masking.mask("user=shop_app", other) == masking.MASK

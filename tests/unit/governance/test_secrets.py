"""Secrets: real formats are found, and what only looks alike is left alone."""

from __future__ import annotations

import random
import string
import subprocess
import sys
from itertools import pairwise

import pytest

from lonelycat.governance.secrets import find_secrets

_RANDOM = random.Random(7)


def chars(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(_RANDOM.choice(alphabet) for _ in range(count))


HEX = "0123456789abcdef"
BASE32 = string.ascii_uppercase + "234567"
UUID = "-".join(chars(count, HEX) for count in (8, 4, 4, 4, 12))
TOKENS = {
    "aws-access-key": "AKIA" + chars(16, BASE32),
    "github-token": "ghp_" + chars(36),
    "gitlab-token": "glpat-" + chars(20),
    "slack-token": f"xoxb-{chars(12, string.digits)}-{chars(24)}",
    "stripe-key": "sk_live_" + chars(24),
    "google-api-key": "AIza" + chars(35),
    "npm-token": "npm_" + chars(36),
    "pypi-token": "pypi-AgEIcHlwaS5vcmc" + chars(80),
    "anthropic-key": "sk-ant-api03-" + chars(80),
    "openai-key": "sk-proj-" + chars(48),
    "huggingface-token": "hf_" + chars(34),
    "digitalocean-token": "dop_v1_" + chars(64, HEX),
    "shopify-token": "shpat_" + chars(32, HEX),
    "square-token": "sq0atp-" + chars(22),
    "mailgun-key": "key-" + chars(32, HEX),
    "twilio-key": "SK" + chars(32, HEX),
    "databricks-token": "dapi" + chars(32, HEX),
    "docker-token": "dckr_pat_" + chars(27),
    "linear-key": "lin_api_" + chars(40),
    "postman-key": f"PMAK-{chars(24, HEX)}-{chars(34, HEX)}",
    "grafana-token": f"glsa_{chars(32)}_{chars(8, HEX)}",
    "newrelic-key": "NRAK-" + chars(27, string.ascii_uppercase + string.digits),
    "pulumi-token": "pul-" + chars(40, HEX),
    "rubygems-key": "rubygems_" + chars(48, HEX),
    "age-key": "AGE-SECRET-KEY-1" + chars(58, string.ascii_uppercase + string.digits),
    "figma-token": "figd_" + chars(40),
    "jwt": f"eyJ{chars(20)}.eyJ{chars(40)}.{chars(43)}",
    "sendgrid-key": f"SG.{chars(22)}.{chars(43)}",
    "vault-token": "hvs." + chars(60),
    "google-oauth-token": "ya29." + chars(60),
    "telegram-bot-token": f"{chars(9, string.digits)}:AA{chars(33)}",
    "slack-webhook": f"hooks.slack.com/services/T{chars(8, BASE32)}/B{chars(8, BASE32)}/{chars(24)}",
    "discord-webhook": f"discord.com/api/webhooks/{chars(18, string.digits)}/{chars(68)}",
    "terraform-token": f"{chars(14)}.atlasv1.{chars(64)}",
    "doppler-token": "dp.pt." + chars(43),
    "openrouter-key": "sk-or-v1-" + chars(64, HEX),
    "groq-key": "gsk_" + chars(52),
    "xai-key": "xai-" + chars(80),
    "perplexity-key": "pplx-" + chars(48),
    "replicate-token": "r8_" + chars(37),
    "nvidia-key": "nvapi-" + chars(64),
    "langsmith-key": f"lsv2_pt_{chars(32, HEX)}_{chars(10, HEX)}",
    "pinecone-key": "pcsk_" + chars(70),
    "e2b-key": "e2b_" + chars(40, HEX),
    "bedrock-key": "ABSK" + chars(120),
    "alibaba-key": "LTAI5t" + chars(18),
    "tencent-key": "AKID" + chars(32),
    "supabase-key": "sbp_" + chars(40, HEX),
    "netlify-token": "nfp_" + chars(36),
    "fly-token": "fo1_" + chars(43),
    "heroku-key": "HRKU-AA" + chars(58),
    "sentry-token": "sntryu_" + chars(64, HEX),
    "grafana-cloud-token": "glc_eyJ" + chars(80),
    "honeycomb-key": "hcaik_" + chars(58),
    "brevo-key": f"xkeysib-{chars(64, HEX)}-{chars(16)}",
    "resend-key": f"re_{chars(8)}_{chars(24)}",
    "notion-token": "ntn_" + chars(46),
    "atlassian-token": "ATATT3xFfGF0" + chars(180),
    "plaid-token": f"access-production-{UUID}",
    "razorpay-key": "rzp_live_" + chars(14),
    "flutterwave-key": f"FLWSECK-{chars(32, HEX)}-X",
    "docker-organisation-token": "dckr_oat_" + chars(32),
    "jfrog-token": "AKCp8" + chars(68),
    "nuget-key": "oy2" + chars(43, string.ascii_lowercase + string.digits),
    "crates-token": "cio" + chars(32),
    "clojars-token": "CLOJARS_" + chars(60, HEX),
    "packagist-token": "packagist_uut_" + chars(68, HEX),
    "onepassword-token": "ops_eyJ" + chars(220),
    "tailscale-key": f"tskey-auth-{chars(11)}CNTRL-{chars(32)}",
    "launchdarkly-key": f"sdk-{UUID}",
    "segment-token": "sgp_" + chars(64),
    "posthog-key": "phx_" + chars(43),
    "planetscale-token": "pscale_tkn_" + chars(43),
    "typeform-token": "tfp_" + chars(59),
    "prefect-key": "pnu_" + chars(36),
    "sonar-token": "sqp_" + chars(40, HEX),
    "buildkite-token": "bkua_" + chars(40, HEX),
    "circleci-token": f"CCIPAT_{chars(22)}_{chars(40, HEX)}",
    "contentful-token": "CFPAT-" + chars(43),
    "hubspot-token": f"pat-na1-{UUID}",
    "easypost-key": "EZAK" + chars(54),
    "duffel-token": "duffel_live_" + chars(43),
    "shippo-token": "shippo_live_" + chars(40, HEX),
    "gitlab-runner-token": "GR1348941" + chars(20),
    "azure-secret": f"{chars(3)}8Q~{chars(34)}",
    "airtable-token": f"pat{chars(14)}.{chars(64, HEX)}",
    "mapbox-token": f"sk.eyJ{chars(60)}.{chars(22)}",
    "dynatrace-token": f"dt0c01.{chars(24, BASE32)}.{chars(64, BASE32)}",
}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("AccountName=a;AccountKey={}==;", "assigned-secret"),
        ("DB_PASS={}", "assigned-secret"),
        ("APP_KEY=base64:{}=", "assigned-secret"),
        ('{{"auths": {{"x": {{"auth": "{}=="}}}}}}', "assigned-secret"),
        ("Authorization: Bearer {}", "authorization"),
        ("redis://:{}@cache.prod.net:6379/0", "url-password"),
    ],
)
def test_a_credential_is_found_by_what_stands_before_it(text: str, kind: str) -> None:
    found = find_secrets(text.format("q7Rz0Lx4" + chars(35)).encode())
    assert [match.kind for match in found] == [kind]


def test_a_header_of_a_test_is_left_alone() -> None:
    assert find_secrets(b"Authorization: Bearer example-token-for-testing-only-1234") == []
    assert find_secrets(b"Authorization: Basic ZHVtbXk6ZHVtbXlwYXNzMTIzNDU2Nzg5") == []


@pytest.mark.parametrize("kind", sorted(TOKENS))
@pytest.mark.parametrize("around", ['value = "{}"\n', "{}", "before {} after", "x={}&y=1", "<{}>"])
def test_token_formats_are_found_exactly(kind: str, around: str) -> None:
    data = around.format(TOKENS[kind]).encode()
    found = [(match.kind, data[match.start : match.end].decode()) for match in find_secrets(data)]
    assert found == [(kind, TOKENS[kind])]


PEM = "-----BEGIN {0}PRIVATE KEY-----\n{1}\n{1}\n-----END {0}PRIVATE KEY-----"


@pytest.mark.parametrize("label", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("newline", ["\n", "\\n", '"\n"'])
def test_private_keys_are_found_whole(label: str, newline: str) -> None:
    text = PEM.format(label, chars(64)).replace("\n", newline)
    data = f"x {text} y".encode()
    (match,) = find_secrets(data)
    assert match.kind == "private-key"
    assert data[match.start : match.end].decode() == text


@pytest.mark.parametrize(
    "line",
    [
        'password = "Tr0ub4dor&3x"',
        "DB_PASSWORD: 'kJ8#mQ2$vX9z'",
        'api_key = "9f8a7c6e5d4b3a2f1e0d9c8b7a695847"',
        '"client_secret": "Zk3vQ9xLm2Rt7YbN4cWd8FgH"',
        "SECRET_TOKEN=Zk3vQ9xLm2Rt7YbN4cWd8FgH",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzK3vQ9xLm2",
        "url = postgres://admin:Zk3vQ9xLm2Rt@db.corp.internal.io/app",
        'headers = {"X-Api-Key": "Zk3vQ9xLm2Rt7YbN4cWd8FgH"}',
        "token := `Zk3vQ9xLm2Rt7YbN4cWd8FgH`",
    ],
)
def test_assigned_secrets_are_found(line: str) -> None:
    assert find_secrets(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        'password = "changeme"',
        'password = "your-password-here"',
        'password = os.environ["DB_PASSWORD"]',
        "password: ${DB_PASSWORD}",
        "password: {{ vault_password }}",
        'api_key = "xxxxxxxxxxxxxxxxxxxxxxxx"',
        'token = "abcdefghijklmnop1234567890"',
        'secret = "example-secret-value-1234"',
        "secretName: my-application-tls-v2",
        "token = get_token(request, timeout=30)",
        "token_url = https://example.com/oauth/token",
        'password_hash = "password"',
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "0" * 36,
        "-----BEGIN PRIVATE KEY-----",
        'if line.startswith("-----BEGIN RSA PRIVATE KEY-----"):',
        "postgres://user:password@localhost/db",
        "postgres://admin:Zk3vQ9xLm2Rt@localhost/db",
        "git@github.com:someone/something.git",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "integrity sha512-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08==",
        "uuid = '123e4567-e89b-12d3-a456-426614174000'",
        'TOKEN_PATTERN = r"[A-Z]\\w+[0-9]{3}"',
        "a_very_long_identifier_with_digits_42_and_more_words",
    ],
)
def test_what_only_looks_alike_is_left_alone(line: str) -> None:
    assert find_secrets(line.encode()) == []


def test_matches_are_in_order_and_apart() -> None:
    data = "\n".join(f'token_{index} = "{token}"' for index, token in enumerate(TOKENS.values())).encode()
    found = find_secrets(data)
    assert len(found) == len(TOKENS)
    assert all(first.end <= second.start for first, second in pairwise(found))


HOSTILE = """
from lonelycat.governance.secrets import find_secrets
size = 200_000
for unit in (b"a", b"-", b"password=", b"token:'", b"://a:b", b"eyJ", b"eyJa.", b"-----BEGIN ", b"PRIVATE KEY-----",
             b"-----BEGIN PRIVATE KEY-----\\n",
             b"AKIA", b"SG.a", b"x1_", b"@", b"1:AA", b"xoxb-1-", b"key \\t", b"A: b\\n"):
    find_secrets(unit * (size // len(unit)))
"""


def test_hostile_input_ends() -> None:
    """A quadratic search over these would take minutes; the limit is only there to end it."""
    subprocess.run([sys.executable, "-c", HOSTILE], check=True, timeout=60)

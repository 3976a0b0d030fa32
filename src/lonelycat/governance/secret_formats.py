"""What credentials look like: the published formats of tokens, and the marks of a value that only stands for one.

Invariant: every expression is linear: no nested repetition over the same characters, and bounded look-around.
Sources: the providers' own documentation of their token prefixes.
"""

from __future__ import annotations

from collections import Counter
from math import log2

from lonelycat.patterns import late_pattern

_W = rb"[A-Za-z0-9_-]"
_AN = rb"[A-Za-z0-9]"
_UUID = rb"[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}"

TOKEN_FORMATS: dict[str, bytes] = {
    "aws-access-key": rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
    "github-token": rb"gh[pousr]_" + _AN + rb"{36,255}|github_pat_[A-Za-z0-9_]{60,255}",
    "gitlab-token": rb"gl(?:pat|dt|rt|ptt|ft|cbt|soat|agent|imt|oas|ffct)-" + _W + rb"{20,255}",
    "slack-token": rb"xox[abeoprs]-(?:[0-9A-Za-z]{1,64}-){1,4}" + _AN + rb"{8,128}|xapp-[0-9]-" + _W + rb"{20,200}",
    "stripe-key": rb"[rs]k_live_" + _AN + rb"{16,128}|whsec_" + _AN + rb"{32,64}",
    "google-api-key": rb"AIza" + _W + rb"{35}|GOCSPX-" + _W + rb"{28}",
    "npm-token": rb"npm_" + _AN + rb"{36}",
    "pypi-token": rb"pypi-AgE" + _W + rb"{50,255}",
    "anthropic-key": rb"sk-ant-" + _W + rb"{32,255}",
    "openai-key": rb"sk-(?:proj|svcacct|admin)-" + _W + rb"{32,255}|sk-" + _AN + rb"{32,64}",
    "openrouter-key": rb"sk-or-v1-[a-f0-9]{64}",
    "groq-key": rb"gsk_" + _AN + rb"{52}",
    "xai-key": rb"xai-" + _AN + rb"{80}",
    "perplexity-key": rb"pplx-" + _AN + rb"{48}",
    "replicate-token": rb"r8_" + _AN + rb"{37}",
    "cerebras-key": rb"csk-" + _AN + rb"{48}",
    "nvidia-key": rb"nvapi-" + _W + rb"{60,70}",
    "langsmith-key": rb"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",
    "pinecone-key": rb"pcsk_[A-Za-z0-9_]{50,80}",
    "e2b-key": rb"e2b_[a-f0-9]{40}",
    "huggingface-token": rb"hf_" + _AN + rb"{34}",
    "digitalocean-token": rb"do[opr]_v1_[a-f0-9]{64}",
    "shopify-token": rb"shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}",
    "square-token": rb"sq0[a-z]{3}-" + _W + rb"{22,60}",
    "mailgun-key": rb"key-[0-9a-f]{32}",
    "twilio-key": rb"SK[0-9a-f]{32}",
    "databricks-token": rb"dapi[0-9a-f]{32}",
    "docker-token": rb"dckr_pat_" + _W + rb"{27}",
    "linear-key": rb"lin_api_" + _AN + rb"{40}",
    "postman-key": rb"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "grafana-token": rb"glsa_" + _AN + rb"{32}_[0-9a-f]{8}",
    "newrelic-key": rb"NRAK-[A-Z0-9]{27}",
    "pulumi-token": rb"pul-[a-f0-9]{40}",
    "rubygems-key": rb"rubygems_[a-f0-9]{48}",
    "age-key": rb"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    "figma-token": rb"figd_" + _W + rb"{40}",
    "bedrock-key": rb"ABSK[A-Za-z0-9+/]{100,140}",
    "alibaba-key": rb"LTAI" + _AN + rb"{16,20}",
    "tencent-key": rb"AKID" + _AN + rb"{32}",
    "supabase-key": rb"sbp_[a-f0-9]{40}|sb_secret_" + _W + rb"{22,40}",
    "vercel-token": rb"vercel_blob_rw_" + _AN + rb"{16}_" + _AN + rb"{20,40}|vercel_blob_rw_" + _AN + rb"{30,60}",
    "netlify-token": rb"nfp_" + _AN + rb"{36}",
    "fly-token": rb"fo1_" + _W + rb"{43}|fm[12]a?_" + _W + rb"{60,255}",
    "heroku-key": rb"HRKU-AA" + _W + rb"{58}",
    "sentry-token": rb"sntrys_eyJ" + _W + rb"{80,255}|sntryu_[a-f0-9]{64}",
    "grafana-cloud-token": rb"glc_eyJ" + _AN + rb"{40,255}",
    "honeycomb-key": rb"hcaik_" + _AN + rb"{58}",
    "brevo-key": rb"xkeysib-[a-f0-9]{64}-" + _AN + rb"{16}",
    "resend-key": rb"re_" + _AN + rb"{8}_" + _AN + rb"{24}",
    "notion-token": rb"ntn_" + _AN + rb"{40,50}|secret_" + _AN + rb"{43}",
    "atlassian-token": rb"AT[AC]TT3xFfG[A-Z]0" + _W + rb"{60,255}|ATBB" + _AN + rb"{32}",
    "plaid-token": rb"access-(?:production|development)-" + _UUID,
    "razorpay-key": rb"rzp_live_" + _AN + rb"{14}",
    "flutterwave-key": rb"FLWSECK-[a-f0-9]{32}-X",
    "docker-organisation-token": rb"dckr_oat_" + _W + rb"{32}",
    "jfrog-token": rb"AKCp[0-9]?" + _AN + rb"{68,69}|cmVmdGtu" + _AN + rb"{56}",
    "nuget-key": rb"oy2[a-z0-9]{43}",
    "crates-token": rb"cio" + _AN + rb"{32}",
    "clojars-token": rb"CLOJARS_[a-f0-9]{60}",
    "packagist-token": rb"packagist_(?:uut|ort|out)_[a-f0-9]{60,80}",
    "onepassword-token": rb"ops_eyJ" + _AN + rb"{200,255}",
    "tailscale-key": rb"tskey-(?:auth|api|client|scim|webhook)-" + _AN + rb"{8,20}-" + _AN + rb"{20,40}",
    "launchdarkly-key": rb"(?:sdk|api)-" + _UUID,
    "segment-token": rb"sgp_" + _AN + rb"{64}",
    "posthog-key": rb"phx_" + _AN + rb"{43,50}",
    "planetscale-token": rb"pscale_(?:tkn|pw|oauth)_" + _W + rb"{32,64}",
    "typeform-token": rb"tfp_" + _W + rb"{59}",
    "readme-key": rb"rdme_[a-z0-9]{70}",
    "prefect-key": rb"pn[ub]_" + _AN + rb"{36}",
    "sonar-token": rb"sq[upa]_[a-f0-9]{40}",
    "buildkite-token": rb"bkua_[a-f0-9]{40}",
    "circleci-token": rb"CCIPAT_" + _AN + rb"{22}_[a-f0-9]{40}",
    "contentful-token": rb"CFPAT-" + _W + rb"{43}",
    "hubspot-token": rb"pat-(?:na|eu)[0-9]-" + _UUID,
    "easypost-key": rb"EZAK" + _AN + rb"{54}",
    "duffel-token": rb"duffel_live_" + _W + rb"{43}",
    "shippo-token": rb"shippo_live_[a-f0-9]{40}",
    "gitlab-runner-token": rb"GR1348941" + _W + rb"{20}",
}
"""Tokens that are one run of letters, digits, ``_`` and ``-``, by kind."""

DOTTED_FORMATS: dict[str, bytes] = {
    "jwt": rb"eyJ" + _W + rb"{8,2000}\.eyJ" + _W + rb"{8,4000}\." + _W + rb"{20,1000}",
    "sendgrid-key": rb"SG\." + _W + rb"{22}\." + _W + rb"{43}",
    "vault-token": rb"hv[bs]\." + _W + rb"{24,300}",
    "doppler-token": rb"dp\.(?:pt|st|ct|sa)\." + _W + rb"{40,60}",
    "google-oauth-token": rb"ya29\." + _W + rb"{30,300}",
    "telegram-bot-token": rb"[0-9]{8,10}:AA" + _W + rb"{33}",
    "slack-webhook": rb"hooks\.slack\.com/services/T[A-Z0-9]{6,14}/B[A-Z0-9]{6,14}/" + _AN + rb"{20,30}",
    "discord-webhook": rb"discord(?:app)?\.com/api/webhooks/[0-9]{15,20}/" + _W + rb"{60,80}",
    "slack-workflow": rb"hooks\.slack\.com/(?:workflows|triggers)/[A-Z0-9]{6,14}/[A-Z0-9]{6,14}/[0-9]{10,20}/"
    + _AN
    + rb"{20,40}",
    "azure-secret": _AN + rb"{3}[0-9]Q~[A-Za-z0-9_.~-]{31,34}",
    "airtable-token": rb"pat" + _AN + rb"{14}\.[a-f0-9]{64}",
    "mapbox-token": rb"sk\.eyJ" + _W + rb"{40,200}\." + _W + rb"{20,30}",
    "dynatrace-token": rb"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "terraform-token": _AN + rb"{14}\.atlasv1\." + _W + rb"{60,70}",
}
"""Tokens with other characters in them; the last part of each is a run of at least 20."""

RUN_LENGTH = 20
"""Every format above has a run of at least this many letters, digits, ``_`` and ``-``."""
LOOK_BACK = 64
"""How far before such a run the token may begin, except for the run before a dot."""

ASSIGNED = late_pattern(
    rb"""(?x)[A-Za-z0-9_.\[\]-]{0,40}["'`]?\]?[ \t]{0,8}(?:=>|:=|==?|:)[ \t]{0,8}
    (?: [rbuf]?(?P<quote>["'`])(?P<quoted>[^\s"'`\x00]{8,256})(?P=quote)
      | (?P<bare>(?:base64:)?[A-Za-z0-9+/_=-]{16,256})(?=[\s,;}\x00]|\Z) )"""
)
"""What follows a word such as ``password`` when a value is assigned to it."""

KEYWORDS = (b"pass", b"secret", b"token", b"apikey", b"api-key", b"_key", b"accountkey", b"accesskey", b'"auth"')

AUTHORIZATION = late_pattern(rb"(?i)\bbearer[ ](?P<value>[A-Za-z0-9+/_.~-]{24,1000}={0,2})")
"""A header that carries a token; those with a name and a password are mostly of tests."""

URL_PASSWORD = late_pattern(
    rb"://[^\s:/@\"'<>\x00]{0,64}:(?P<password>[^\s:/@\"'\x00]{8,128})@(?P<host>[A-Za-z0-9.-]{1,128})"
)

PRIVATE_KEY = late_pattern(rb"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
PRIVATE_KEY_BODY = late_pattern(rb"(?:[\s\"'+,;]|\\[nr]|[A-Za-z-]{4,20}: [^\n\x00]{1,100}\n)*[A-Za-z0-9+/=]{24}")
PRIVATE_KEY_END = late_pattern(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_PLACEHOLDER = late_pattern(
    rb"""(?ix) example|sample|dummy|fake|place.?holder|change.?me|replace|your[_-]|my[_-]?(?:secret|token|pass|key)
    |redacted|insert|todo|fixme|test|mock|invalid|default|foo|bar|lorem|secret|passw|token|hunter2|correct.?horse|s3cr3t|p4ssw|p@ss
    |xxx|\*\*\*|\\|\[.*\]|\.\.\.|\$\{|\$\(|\{\{|\}|<|>|%\(|%s|none|null|undefined|env[.\[(]|process\."""
)
_SEQUENCE = late_pattern(rb"(?i)0123456|1234567|2345678|abcdefg|qwerty|deadbeef|cafebabe|(.)\1{5}|(.{2,6}?)\2{3}")
_WORDS = late_pattern(rb"[A-Za-z]*[0-9]{0,2}(?:[-_./:+=][A-Za-z]*[0-9]{0,2})*")
_SAFE_HOST = late_pattern(
    rb"(?i)localhost|127\.|(?:.*\.)?(?:example|test|invalid|local|localdomain)(?:\.[a-z]{2,3})?\Z"
)


def entropy(value: bytes) -> float:
    """Return the Shannon entropy of ``value`` in bits per byte."""
    size = len(value)
    return -sum(count / size * log2(count / size) for count in Counter(value).values()) if size else 0.0


def is_filler(token: bytes) -> bool:
    """Tell whether a token in a published format is obviously not a real one."""
    return b"EXAMPLE" in token or b"xxxx" in token.lower() or bool(_SEQUENCE.search(token)) or entropy(token) < 2.8


def looks_secret(value: bytes, *, quoted: bool) -> bool:
    """Tell whether an assigned value has the look of a real credential, not of a name, a path or an example."""
    if _PLACEHOLDER.search(value) or _SEQUENCE.search(value) or _WORDS.fullmatch(value):
        return False
    classes = (
        any(97 <= byte <= 122 for byte in value)
        + any(65 <= byte <= 90 for byte in value)
        + any(48 <= byte <= 57 for byte in value)
        + any(not chr(byte).isalnum() for byte in value)
    )
    if len(value) >= 16:
        digits = sum(48 <= byte <= 57 for byte in value)
        return entropy(value) >= 3.2 and classes >= 2 and digits >= (1 if quoted else 3)
    return quoted and classes >= 3 and entropy(value) >= 2.5 and b"(" not in value


def is_credential(password: bytes, host: bytes) -> bool:
    """Tell whether the password in a URL looks real, and its host is not one that documentation and tests use."""
    return looks_secret(password, quoted=True) and _SAFE_HOST.match(host) is None

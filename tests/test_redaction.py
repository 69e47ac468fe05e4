"""Secrets are not stored: in commands, and in changes of the code."""

from __future__ import annotations

import random
import string

import pytest

from mer.redaction import without_secrets, words_without_secrets

LETTERS = string.ascii_letters + string.digits


def made_up(length: int, alphabet: str = LETTERS) -> str:
    """A random text: no secret of anybody lies in this file, not even a revoked one."""
    return "".join(random.Random(length).choices(alphabet, k=length))


SECRETS = {
    "AKIA" + made_up(16, string.ascii_uppercase + string.digits): "a key of AWS",
    "ghp_" + made_up(36): "a token of GitHub",
    "github_pat_" + made_up(40): "a token of GitHub",
    "glpat-" + made_up(20): "a token of GitLab",
    "hf_" + made_up(34): "a token of Hugging Face",
    "sk-" + made_up(48): "an API key",
    "sk-proj-" + made_up(48): "an API key",
    "sk_live_" + made_up(24): "an API key",
    "xoxb-" + made_up(24): "a token of Slack",
    "AIza" + made_up(35): "a key of Google",
    f"eyJ{made_up(20)}.eyJ{made_up(30)}.{made_up(43)}": "a web token",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_tokens_are_known_by_their_form_wherever_they_are(secret: str):
    for line in (f"+x = '{secret}'", f"-# {secret}", f'+client(token="{secret}", retries=3)', f"+export T={secret}"):
        kept, found = without_secrets(line)
        assert secret not in kept and found == 1 and f"[left out: {SECRETS[secret]}]" in kept


def test_private_keys_and_passwords_in_addresses_are_left_out():
    body = "\n".join(f"+{made_up(64)}" for _ in range(3))
    key = f"+key = '''-----BEGIN RSA PRIVATE KEY-----\n{body}\n+-----END RSA PRIVATE KEY-----'''\n+after = 1"
    assert without_secrets(key) == ("+key = '''[left out: a private key]'''\n+after = 1", 1)
    address = "postgresql://me:hunter2@db/mlflow"
    assert without_secrets(address) == ("postgresql://[left out: a password]@db/mlflow", 1)
    assert "hunter" not in without_secrets('+headers = {"Authorization": "Bearer hunter2hunter2"}')[0]


@pytest.mark.parametrize(
    "line",
    [
        '+API_KEY = "c0ffee1234abcd"',
        "+    'password': 'hunter2',",
        "+db_password='correcthorse'",
        '+  wandb_api_key: "0123456789abcdef0123456789abcdef01234567"',
        f'+x = "{made_up(32)}"',
    ],
)
def test_what_looks_random_or_has_a_telling_name_is_left_out(line: str):
    kept, found = without_secrets(line)
    assert found == 1 and "[left out: a" in kept


@pytest.mark.parametrize(
    "line",
    [
        "+max_tokens = 256",
        '+token: str = "<mask>"',
        '+tokenizer = AutoTokenizer.from_pretrained("sentence-transformers/all-MiniLM-L6-v2")',
        f'+sha256 = "{"0123456789abcdef" * 4}"',
        '+    "train": "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",',
        '+password = ""',
        '+raise ValueError("no password was given for this store")',
        "+from mer.features.from_text.sequences import TokenSequences",
        '+path = "search_spaces/meld_roberta_lora.yaml"',
        "+see https://docs.ray.io/en/latest/ray-security/token-auth.html",
    ],
)
def test_code_stays_as_it_is(line: str):
    assert without_secrets(line) == (line, 0)


def test_our_own_code_holds_no_secret():
    from pathlib import Path

    for path in Path("mer").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.name == "redaction.py" or without_secrets(text) == (text, 0), path


def test_commands_are_stored_without_the_values_of_telling_keys():
    typed = ["mer/tune.py", "x.yaml", "--set", "data.root=/data", "--set", "hub.api_key=abc", "--password=x", "--set"]
    typed += ["tracking=http://me:pw@host/"]
    kept = words_without_secrets(typed)
    assert kept[:5] == typed[:5] and kept[5] == "hub.api_key=[left out: a secret]"
    assert kept[6] == "--password=[left out: a secret]" and kept[8] == "tracking=http://[left out: a password]@host/"
    assert words_without_secrets(["--set", "max_tokens=3", "encoders.text.context.max_tokens=64"]) == [
        "--set", "max_tokens=3", "encoders.text.context.max_tokens=64"
    ]  # fmt: skip

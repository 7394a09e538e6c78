"""Redaction: the secrets of the environment, secrets known by their form, and texts that stay as they are."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from pytest_sst2.instruments.environment import VARIABLES
from pytest_sst2.results.record import Record
from pytest_sst2.upgrade.uv import InstallError
from pytest_sst2.upgrade.uv import run as run_uv
from pytest_sst2.utils import redact
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.redact import _KEY_NAME, _SECRET_NAME, MARK, redacted
from pytest_sst2.utils.sanitize import one_line
from tests.support.record_factory import make_record

SECRET = "Plant3d-s3cret-with-16"


@pytest.fixture(autouse=True)
def _no_stored_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HOME", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


class TestEnvironment:
    @pytest.mark.parametrize(
        "name",
        [
            *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN"),
            *("DB_PASSWORD", "MYSQL_PASSWD", "SSH_PASSPHRASE", "OPENAI_API_KEY", "my_private_key", "CREDENTIALS"),
        ],
    )
    def test_a_variable_whose_name_says_so(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, SECRET)
        assert redacted(f"it was {SECRET}, said twice: {SECRET}.") == f"it was {MARK}, said twice: {MARK}."

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("TOKENIZERS_PARALLELISM", "false-or-true-it-says"),
            ("HF_TOKEN", "short"),
            ("SONAR_PROJECT_KEY", "pytest-sst2"),
            ("HF_TOKEN_PATH", "/tmp"),
            ("SECRET_FOLDER", str(Path(__file__).parent)),
            ("PATH", "/usr/local/bin:/usr/bin"),
            ("TOKEN_SCOPE", "validation"),
            ("DB_PASSWORD", "Accuracy"),
            ("SECRET_MODE", "read-only"),
        ],
    )
    def test_what_is_no_secret_stays(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        assert redacted(f"it was {value}") == f"it was {value}"

    @pytest.mark.parametrize("variable", ["HF_HOME", "HF_TOKEN_PATH"])
    def test_the_stored_token_of_the_hub(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
        (tmp_path / "token").write_text(f"{SECRET}\n", encoding="utf-8")
        monkeypatch.setenv(variable, str(tmp_path / "token" if variable == "HF_TOKEN_PATH" else tmp_path))
        assert redacted(SECRET) == MARK

    @pytest.mark.parametrize("stored", [b"\xff\xfe not UTF-8", b"", None])
    def test_a_token_file_that_cannot_be_read_ends_no_run(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: bytes | None
    ) -> None:
        path = tmp_path / "token"
        path.mkdir() if stored is None else path.write_bytes(stored)
        monkeypatch.setenv("HF_TOKEN_PATH", str(path))
        assert redacted("a text") == "a text"

    def test_a_secret_that_is_not_utf8_ends_no_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = f"{SECRET}\udcff"
        monkeypatch.setenv("HF_TOKEN", secret)
        assert redacted(f"it was {secret}") == f"it was {MARK}"

    def test_they_are_read_once_per_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert redacted(SECRET) == SECRET
        monkeypatch.setenv("LATE_TOKEN", SECRET)
        assert redacted(SECRET) == SECRET

    @pytest.mark.parametrize("secret", ["12345678", "deadbeef99"])
    def test_digests_and_numbers_that_contain_a_secret_stay(self, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
        monkeypatch.setenv("DB_PASSWORD", secret)
        assert redacted(f"sha256:00{secret}ff") == f"sha256:00{secret}ff"
        assert redacted(f"user:{secret}@host") == f"user:{MARK}@host"

    def test_each_line_of_a_private_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = [f"{letter * 64}" for letter in "abc"]
        monkeypatch.setenv("DEPLOY_KEY", "\n".join(lines))
        assert redacted(f"the second is {lines[1]}") == f"the second is {MARK}"

    @pytest.mark.parametrize("form", [str, json.dumps, repr, lambda text: quote(text, safe="")])
    def test_every_spelling(self, monkeypatch: pytest.MonkeyPatch, form: Callable[[str], str]) -> None:
        secret = 'pa/ss"word\\with-all'
        monkeypatch.setenv("DB_PASSWORD", secret)
        assert "word" not in redacted(f"it was {form(secret)}")

    @pytest.mark.parametrize("before", [0, 190, 5_000])
    def test_a_long_secret_is_redacted_before_the_text_is_truncated(
        self, monkeypatch: pytest.MonkeyPatch, before: int
    ) -> None:
        token = "".join(f"{SECRET}{number}" for number in range(100))
        monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", token)
        for text in (f"{'a' * before}{token}", f"{'a' * before}{token * 9}"):
            assert "Plant3d" not in one_line(text, 200)
            assert "Plant3d" not in one_line(text)


class TestForms:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("https://me:secret@mirror.example/x", "https://***@mirror.example/x"),
            ("https://me:p@ss@mirror.example/x", "https://***@mirror.example/x"),
            ("git+https://token@host/x and ray://a:b@c:1", "git+https://***@host/x and ray://***@c:1"),
            ("https://h/x?a=1&X-Amz-Signature=abc&b=2", "https://h/x?a=1&X-Amz-Signature=***&b=2"),
            ("https://h/x?access_token=abc", "https://h/x?access_token=***"),
            ("Authorization: Bearer abc", "Authorization: ***"),
            ("{'authorization': b'Basic YTpi'}", "{'authorization': b'***'}"),
            ("bearer abcdefghijklmnop1", "bearer ***"),
            ("refused Basic bWU6UGw0bnRlZGMwcmU=", "refused Basic ***"),
            (f"hf_{'a' * 34} ghp_{'b' * 36} glpat-{'c' * 20}", "*** *** ***"),
        ],
    )
    def test_is_redacted(self, text: str, shown: str) -> None:
        assert redacted(text) == shown

    @pytest.mark.parametrize(
        "text",
        [
            *("token-classifier", "org/tokenizer-secrets@main", "me@home.org", "https://h/x?tokenizer=bert"),
            *("a basic sentiment-classification", "the bearer of-bad-news-in-this-film", "hf_hub_download"),
            *("key=value", "secret: the film is a secret", "https://h/a@b", "password123 is no password of ours"),
        ],
    )
    def test_ordinary_text_stays(self, text: str) -> None:
        assert redacted(text) == text

    @pytest.mark.parametrize(
        "part", ["token", "?token", "://", "authorization ", "bearer a", "&sig", "?", "hf_", "a@", " ", "\n"]
    )
    def test_redaction_takes_linear_time(self, part: str) -> None:
        text = f"=?{part * (100_000 // len(part))}"
        start = time.process_time()
        redacted(text)
        one_line(text)
        assert time.process_time() - start < 2


class TestPlaces:
    def test_a_record_as_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        record: Record = make_record(settings={"token": [SECRET, {"x": SECRET}]}, warnings=(f"with {SECRET}",))
        assert SECRET not in json.dumps(record.to_json())
        assert record.to_json()["settings"] == {"token": [MARK, {"x": MARK}]}

    @pytest.mark.parametrize(
        "value",
        [
            *("validation", "heldout", "float32", "bfloat16", "linear-probe", "minilm-linear-probe-seed42", "accuracy"),
            *("sentence-transformers/all-MiniLM-L6-v2", "adamw_torch_fused", "pytest-sst2-2024", "predictions"),
        ],
    )
    def test_a_record_can_be_read_again_whatever_a_secret_is(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        record = make_record()
        before = record.to_json()
        monkeypatch.setenv("DB_PASSWORD", value)
        monkeypatch.setenv("MODEL_TOKEN", record.cell)
        redact._known_secrets.cache_clear()
        after = record.to_json()
        assert {**after, "settings": {}, "warnings": []} == {**before, "settings": {}, "warnings": []}
        assert list(after["settings"]) == list(before["settings"])

    def test_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        assert str(Sst2Error(f"no {SECRET}")) == f"no {MARK}"

    def test_the_output_of_uv(self) -> None:
        code = f"import sys; sys.exit('error: no https://me:{SECRET}@mirror.example/simple')"
        with pytest.raises(InstallError, match=r"no https://\*\*\*@mirror\.example/simple"):
            run_uv([sys.executable, "-c", code], {})

    def test_no_recorded_variable_has_the_name_of_a_secret(self) -> None:
        assert [name for name in VARIABLES if _SECRET_NAME.search(name) or _KEY_NAME.search(name)] == []

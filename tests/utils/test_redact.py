"""What is taken for a secret, in which forms it is found, and what is left alone."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from pytest_sst2.instruments.environment import VARIABLES
from pytest_sst2.results.record import Record
from pytest_sst2.session.torchrun import Follower
from pytest_sst2.upgrade.uv import InstallError
from pytest_sst2.upgrade.uv import run as run_uv
from pytest_sst2.utils import redact as redaction
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.redact import _KEY_NAME, _SECRET_NAME, MARK, redacted
from pytest_sst2.utils.sanitize import one_line
from tests.support.record_factory import make_record

SECRET = "Plant3d-s3cret-with-16"


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HOME", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    # The test before was another environment, a moment ago.
    redaction._known_at.cache_clear()


class TestWhatIsKnown:
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
        ],
    )
    def test_what_is_no_secret_stays(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        assert redacted(f"it was {value}") == f"it was {value}"

    @pytest.mark.parametrize("name", ["HF_ENDPOINT", "https_proxy", "PIP_INDEX_URL", "UV_INDEX_URL", "ANYTHING"])
    def test_the_password_in_an_address_of_any_variable(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, f"https://me:{SECRET}@mirror.example/simple")
        assert redacted(f"user me, password {SECRET}") == f"user me, password {MARK}"
        basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
        assert redacted(f"sent {basic}") == f"sent {MARK}"

    def test_a_token_that_stands_for_the_name_in_an_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIP_INDEX_URL", f"https://{SECRET}:@mirror.example/simple")
        assert redacted(SECRET) == MARK

    @pytest.mark.parametrize("file", ["huggingface/token", "huggingface/stored_tokens", "ray"])
    def test_the_files_in_which_clients_keep_theirs(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
    ) -> None:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[name]\nhf_token = {SECRET}\n" if file.endswith("tokens") else f"{SECRET}\n")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "ray"))
        assert redacted(SECRET) == MARK

    def test_a_token_that_is_fetched_while_the_run_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert redacted(SECRET) == SECRET
        monkeypatch.setenv("LATE_TOKEN", SECRET)
        assert redacted(SECRET) == MARK
        monkeypatch.setenv("LATE_TOKEN", f"{SECRET}-other")
        time.sleep(0.25)
        assert redacted(f"{SECRET}-other") == MARK

    def test_each_line_of_a_private_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = [f"{letter * 64}" for letter in "abc"]
        monkeypatch.setenv("DEPLOY_KEY", "\n".join(lines))
        assert redacted(f"the second is {lines[1]}") == f"the second is {MARK}"

    @pytest.mark.parametrize("form", [str, json.dumps, repr, lambda text: quote(text, safe="")])
    def test_in_every_form_in_which_it_may_stand(
        self, monkeypatch: pytest.MonkeyPatch, form: Callable[[str], str]
    ) -> None:
        secret = 'pa/ss"word\\with-all'
        monkeypatch.setenv("DB_PASSWORD", secret)
        assert "word" not in redacted(f"it was {form(secret)}")

    def test_a_token_that_is_stored_meanwhile(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(redaction, "_LOOK_SECONDS", 1e-9)
        file = tmp_path / "home" / "token"
        assert redacted(f"it was {SECRET}") == f"it was {SECRET}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(SECRET, encoding="utf-8")
        assert redacted(f"it was {SECRET}") == f"it was {MARK}"
        file.write_text(f"another-{SECRET}", encoding="utf-8")
        assert redacted(f"it was another-{SECRET}") == f"it was {MARK}"

    @pytest.mark.parametrize("before", [0, 190, 5_000])
    def test_a_long_one_is_known_before_a_text_is_cut(self, monkeypatch: pytest.MonkeyPatch, before: int) -> None:
        token = "".join(f"{SECRET}{number}" for number in range(100))
        monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", token)
        for text in (f"{'a' * before}{token}", f"{'a' * before}{token * 9}"):
            assert "Plant3d" not in one_line(text, 200)
            assert "Plant3d" not in one_line(text)


class TestWhatIsKnownByItsForm:
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
            (f"hf_{'a' * 34} ghp_{'b' * 36} glpat-{'c' * 20}", "*** *** ***"),
        ],
    )
    def test_is_taken_out(self, text: str, shown: str) -> None:
        assert redacted(text) == shown

    @pytest.mark.parametrize(
        "text",
        [
            *("token-classifier", "org/tokenizer-secrets@main", "me@home.org", "https://h/x?tokenizer=bert"),
            *("a basic sentiment-classification", "the bearer of-bad-news-in-this-film", "hf_hub_download"),
            *("key=value", "secret: the film is a secret", "https://h/a@b", "password123 is no password of ours"),
        ],
    )
    def test_what_only_looks_like_it_stays(self, text: str) -> None:
        assert redacted(text) == text

    @pytest.mark.parametrize(
        "part", ["token", "?token", "://", "authorization ", "bearer a", "&sig", "?", "hf_", "a@", " ", "\n"]
    )
    def test_no_text_takes_longer_than_another(self, part: str) -> None:
        text = f"=?{part * (100_000 // len(part))}"
        start = time.process_time()
        redacted(text)
        one_line(text)
        assert time.process_time() - start < 2


class TestWhereItIsTakenOut:
    def test_of_a_record_on_its_way_into_any_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        record: Record = make_record(settings={"token": [SECRET, {"x": SECRET}]}, warnings=(f"with {SECRET}",))
        assert SECRET not in json.dumps(record.to_json())
        assert record.to_json()["settings"] == {"token": [MARK, {"x": MARK}]}

    def test_of_every_error_for_a_person(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        assert str(Sst2Error(f"no {SECRET}")) == f"no {MARK}"

    def test_of_what_a_rank_says(
        self, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        follower = Follower(pytestconfig, pytest.fail)
        follower.say(f"no {SECRET}\x1b]0;owned\nmore")
        follower.pytest_unconfigure()
        assert capfd.readouterr().err == f"[rank 0] no {MARK}\N{REPLACEMENT CHARACTER}]0;owned\n[rank 0] more\n"

    def test_of_what_uv_prints(self) -> None:
        code = f"import sys; sys.exit('error: no https://me:{SECRET}@mirror.example/simple')"
        with pytest.raises(InstallError, match=r"no https://\*\*\*@mirror\.example/simple"):
            run_uv([sys.executable, "-c", code], {})

    def test_no_variable_that_is_recorded_has_the_name_of_a_secret(self) -> None:
        assert [name for name in VARIABLES if _SECRET_NAME.search(name) or _KEY_NAME.search(name)] == []

"""Error messages are printable, on one line, and not too long."""

from pytest_sst2.utils.errors import Sst2Error


def test_control_characters_and_surrogates_are_replaced():
    assert str(Sst2Error("no \x1b[2J, \u202e or \ud83d")) == "no �[2J, � or �"


def test_a_message_is_one_line():
    assert str(Sst2Error("first\nsecond\r\u2028")) == "first second"


def test_letters_of_every_script_are_kept():
    text = "“naïve” סרט فيلم 映画 👍"
    assert str(Sst2Error(text)) == text


def test_a_very_long_message_keeps_its_beginning_and_its_advice():
    message = str(Sst2Error(f"no 'a' among {'b, ' * 5000}. Take another."))
    assert message.startswith("no 'a' among b, b")
    assert message.endswith("b, . Take another.")
    assert len(message) < 2100

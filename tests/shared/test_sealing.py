import pytest

from shared import sealing


def test_what_is_sealed_with_the_public_key_opens_with_the_private_key():
    public, private = sealing.new_keys()
    text = sealing.seal(public, {"code": "418073", "to": "paula@example.org"})
    assert "418073" not in text
    assert sealing.open_sealed(private, text) == {"code": "418073", "to": "paula@example.org"}


def test_the_same_value_never_seals_to_the_same_text():
    public, _ = sealing.new_keys()
    assert sealing.seal(public, {"code": "418073"}) != sealing.seal(public, {"code": "418073"})


def test_a_wrong_key_a_changed_text_and_plain_text_cannot_be_opened_and_say_so():
    public, private = sealing.new_keys()
    text = sealing.seal(public, {"code": "418073"})
    changed = text[:-8] + ("A" * 8 if text[-8:] != "A" * 8 else "B" * 8)
    for key, sealed in [(sealing.new_keys()[1], text), (private, changed), (private, "418073"), (private, "")]:
        with pytest.raises(sealing.CannotOpen, match="another key"):
            sealing.open_sealed(key, sealed)


def test_a_key_that_is_no_key_is_refused_in_words():
    with pytest.raises(ValueError, match="32 bytes"):
        sealing.seal("c2hvcnQ=", {})
    with pytest.raises(ValueError, match="32 bytes"):
        sealing.seal("not base64!", {})

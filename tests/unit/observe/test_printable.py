from dbproxy.observe.printable import clean


def test_control_characters_are_spelled_out():
    assert clean("\x1b]0;owned\x07\x9b2J\u202e é") == "\\x1b]0;owned\\x07\\x9b2J\\u202e é"
    assert clean("a\nb\tc", kept="\n") == "a\nb\\tc"
    assert clean("ERREUR\u00a0: n\u3000\u2028") == "ERREUR\u00a0: n\u3000\\u2028"  # French, Japanese

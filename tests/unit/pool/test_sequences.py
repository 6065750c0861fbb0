"""What a server's session knows of sequences."""

from dbproxy.pool.sequences import Sequences


def test_what_was_used_is_known_until_it_is_forgotten():
    sequences = Sequences()
    sequences.advance()
    assert (sequences.advanced, sequences.known) == (True, True)
    sequences.forget()
    assert (sequences.advanced, sequences.known, sequences.foreign) == (True, False, False)

"""What a transcript keeps and how it is given out."""

import json

from outbox.smtp import Part, Reply, Transcript


class Clock:
    """Moves 10 ms each time it is read."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


def test_it_gives_a_row_for_each_line_sent_and_each_reply() -> None:
    transcript = Transcript(clock=Clock())
    transcript.note("connecting")
    transcript.client(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n")
    transcript.server(Reply(250, "", "one\ntwo"))
    transcript.client("AUTH PLAIN ***")
    rows = transcript.dump()
    assert rows == [
        [10.0, "-", "connecting"],
        [20.0, "C", "MAIL FROM:<a@x.test>"],
        [20.0, "C", "RCPT TO:<b@y.test>"],
        [30.0, "S", "250-one\n250 two"],
        [40.0, "C", "AUTH PLAIN ***"],
    ]
    assert json.loads(json.dumps(rows)) == rows


def test_it_reads_as_a_dialogue() -> None:
    transcript = Transcript(clock=Clock())
    transcript.client(b"EHLO client.test\r\n")
    transcript.server(Reply(250, "", "far.test\nSIZE"))
    assert transcript.as_text() == (
        "      10.0 C EHLO client.test\n      20.0 S 250-far.test\n      20.0 S 250 SIZE"
    )


def test_its_further_parts_count_from_the_same_moment() -> None:
    first = Transcript(clock=Clock())
    first.note("one")
    second = first.follow(Part.TRANSFER)
    second.note("two")
    assert second.part is Part.TRANSFER
    assert second.dump() == [[20.0, "-", "two"]]
    assert first.dump() == [[10.0, "-", "one"]]


def test_it_escapes_what_this_side_sent() -> None:
    """Protocol item 84, for addresses too."""
    transcript = Transcript(clock=Clock())
    transcript.client("RCPT TO:<\u202ea@x.test>\r\n".encode())
    assert transcript.dump()[0][2] == "RCPT TO:<\\u202ea@x.test>"

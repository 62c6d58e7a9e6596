"""What a transcript keeps and how it is given out."""

import json

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Part, Reply, Transcript
from outbox.smtp.transcript import HEAD_KEPT, TAIL_KEPT


class Clock:
    """Moves 10 ms each time it is read."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


def test_it_returns_a_row_for_each_line_sent_and_each_reply() -> None:
    transcript = Transcript(clock=Clock())
    transcript.note(Reason(ReasonCode.CONNECTING, address="192.0.2.1", port="25"))
    transcript.client(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n")
    transcript.server(Reply(250, "", "one\ntwo"))
    transcript.client("AUTH PLAIN ***")
    rows = transcript.dump()
    assert rows == [
        [10.0, "-", 'connecting {"address":"192.0.2.1","port":"25"}'],
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
    transcript.note(Reason(ReasonCode.SESSION_QUIT))
    assert transcript.as_text() == (
        "      10.0 C EHLO client.test\n      20.0 S 250-far.test\n      20.0 S 250 SIZE\n"
        "      30.0 - The session was closed by QUIT."
    )


def test_its_further_parts_count_from_the_same_moment() -> None:
    first = Transcript(clock=Clock())
    first.note(Reason(ReasonCode.SESSION_QUIT))
    second = first.follow(Part.TRANSFER)
    second.note(Reason(ReasonCode.CLOSED_BY_SERVER))
    assert second.part is Part.TRANSFER
    assert second.dump() == [[20.0, "-", "closed_by_server"]]
    assert first.dump() == [[10.0, "-", "session_quit"]]


def test_it_escapes_what_the_client_sent() -> None:
    """Protocol item 84, for addresses too."""
    transcript = Transcript(clock=Clock())
    transcript.client("RCPT TO:<\u202ea@x.test>\r\n".encode())
    assert transcript.dump()[0][2] == "RCPT TO:<\\u202ea@x.test>"


def test_it_keeps_the_beginning_and_the_end_of_a_long_conversation() -> None:
    """A transaction with 1,000 recipients may get 4 MB of replies."""
    transcript = Transcript(clock=Clock())
    for number in range(1_000):
        transcript.client(f"RCPT TO:<{number}@x.test>\r\n".encode())
        transcript.server(Reply(451, "", f"{number} " + "x" * 4_000))
    transcript.note(Reason(ReasonCode.CLOSED_BY_SERVER))
    rows = transcript.dump()
    assert sum(len(str(text)) for _, _, text in rows) <= HEAD_KEPT + TAIL_KEPT
    assert rows[0][2] == "RCPT TO:<0@x.test>"
    assert str(rows[-2][2]).startswith("451 999 ")
    assert rows[-1][2] == "closed_by_server"
    [note] = [text for _, speaker, text in rows if speaker == "-" and text != "closed_by_server"]
    omitted = Reason.load(str(note)).args["count"]
    assert omitted == 2_001 - (len(rows) - 1)
    times = [row[0] for row in rows]
    assert times == sorted(times, key=lambda moment: float(str(moment)))


def test_it_keeps_the_last_reply_even_if_it_is_too_long_alone() -> None:
    transcript = Transcript(clock=Clock())
    for _ in range(30):
        transcript.server(Reply(250, "", "中" * TAIL_KEPT))
    assert len(transcript.dump()) == 2

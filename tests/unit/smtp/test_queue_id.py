"""The queue id is found in the final replies of the servers that people use."""

import time

import pytest

from outbox.smtp.queue_id import find_queue_id

ICOREMAIL = "gzga-smtp-mta-g0-1,_____wDnF4jOiCdlWH9UAQ--.45967S3"
BREVO = "202401021534.49205130651@smtp-relay.mailin.fr"
MAILHOG = "gZ4LZ_3M9YuSuB-lJ8bPqY0TpNHM0cQdG5rI8Q0G6zU=@mailhog.example"
EXCHANGE = "<BYAPR05MB1@x> [InternalId=58226522227145, Hostname=BL0PR05MB6.prod.outlook.com]"

REPLIES = {
    "Postfix": ("2.0.0 Ok: queued as 4bF2pJ1Xz9z3k", "4bF2pJ1Xz9z3k"),
    "Postfix, short ids without a digit": ("2.0.0 Ok: queued as FDABCE", "FDABCE"),
    "Exim": ("OK id=1tQ2aB-000000001Jb-0xYz", "1tQ2aB-000000001Jb-0xYz"),
    "Sendmail": (
        "2.0.0 45Q8x0Ab012345 Message accepted for delivery", "45Q8x0Ab012345",
    ),
    "OpenSMTPD": ("2.0.0 5f3a8c1e Message accepted for delivery", "5f3a8c1e"),
    "OpenSMTPD, old": ("2.0.0: 3e0fd9fb Message accepted for delivery", "3e0fd9fb"),
    "qmail": ("ok 1712345678 qp 12345", "12345"),
    "MessageLabs": ("ok 1712345678 qp 30451 server-5.tower-548.messagelabs.com!1!2", "30451"),
    "Exchange Online": (
        f"2.6.0 {EXCHANGE} 8934 bytes in 0.138, 62.955 KB/sec Queued mail for delivery",
        "58226522227145",
    ),
    "Exchange 2003": (
        "2.6.0 <SRVfNDzkPpTq00000a1b@mail.example.com> Queued mail for delivery",
        "SRVfNDzkPpTq00000a1b@mail.example.com",
    ),
    "Gmail": ("2.0.0 OK  1712345678 d9443c01a7336-1e2f3 - gsmtp", "d9443c01a7336-1e2f3"),
    "Amazon SES": (
        "Ok 0102018f1a2b3c4d-11aa22bb-33cc-44dd-55ee-66ff77aa88bb-000000",
        "0102018f1a2b3c4d-11aa22bb-33cc-44dd-55ee-66ff77aa88bb-000000",
    ),
    "SendGrid": ("Ok: queued as nhIMmON9SFOPcT0ii4nt2A", "nhIMmON9SFOPcT0ii4nt2A"),
    "SparkPost": ("2.0.0 OK 57/3D-12345-89AB0166", "57/3D-12345-89AB0166"),
    "Mailjet": ("OK queued as ab01c2d3-4e5f-6789-abcd-ef0123456789",
                "ab01c2d3-4e5f-6789-abcd-ef0123456789"),
    "Brevo": (f"2.0.0 OK: queued as <{BREVO}>", BREVO),
    "Mailgun": ("Great success", ""),
    "MailerSend": ("Accepted", ""),
    "Postal": ("OK", ""),
    "Zoho": ("Message received", ""),
    "Haraka": (
        "Message Queued (6BB2B5D3-2B7B-4C8D-9D7E-3C1C7D7C4B3A.1)",
        "6BB2B5D3-2B7B-4C8D-9D7E-3C1C7D7C4B3A.1",
    ),
    "Stalwart": ("2.0.0 Message queued with id 217700302698266624.", "217700302698266624"),
    "Stalwart without an id": ("2.0.0 Message queued for delivery.", ""),
    "Yahoo": ("ok dirdel", ""),
    "Yahoo, submission": ("OK , completed", ""),
    "iCloud": ("2.0.0 Ok: queued as 5B1C4A80C5D", "5B1C4A80C5D"),
    "Oracle Messaging, as at iCloud": (
        "2.5.0 Ok, envelope id 0QAB00ABCDEF12@mail.example.com", "0QAB00ABCDEF12@mail.example.com",
    ),
    "Elastic Email": ("OK 1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901",
                      "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"),
    "ImprovMX": ("2.0.0 OK <9f8e7d6c@mx1.example.com>", "9f8e7d6c@mx1.example.com"),
    "Strato": ("queued as 2a1b3c4d5e", "2a1b3c4d5e"),
    "T-Online": ("2.0.0 Message accepted.", ""),
    "mail.ru": ("OK id=1tQ2aB-00Abcd-DE", "1tQ2aB-00Abcd-DE"),
    "Yandex": (
        "2.0.0 Ok: queued on smtp3m.mail.yandex.net as 1430081058-6ltgNFKSir-iHEKdOrm",
        "1430081058-6ltgNFKSir-iHEKdOrm",
    ),
    "Yandex without “as”": (
        "2.0.0 Ok: queued on smtp-57.sas.yp-c.yandex.net 1712345678-aB3dEfGhIj-KlMnOpQr",
        "1712345678-aB3dEfGhIj-KlMnOpQr",
    ),
    "QQ": ("OK: queued as.", ""),
    "NetEase 163": (f"Mail OK queued as {ICOREMAIL} 1697089742", ICOREMAIL),
    "Coremail": (
        "Mail OK queued as UEJ2ygBnb+8toTZjKwx_CA--.36240S2", "UEJ2ygBnb+8toTZjKwx_CA--.36240S2",
    ),
    "Sina": ("ok queue id 298376451", "298376451"),
    "Alibaba Cloud": ("Data Ok: queued as freedom ###envid=123456789012", "123456789012"),
    "Alibaba Cloud without an id": ("Data Ok: queued as freedom", ""),
    "Naver": ("2.0.0 OK Cz4dwz5DSm2HkHV7hSPWZA - nsmtp", "Cz4dwz5DSm2HkHV7hSPWZA"),
    "GMX, web.de and IONOS": (
        "Requested mail action okay, completed: id=1MKsaz-1wevcp3BHR-00M7kH",
        "1MKsaz-1wevcp3BHR-00M7kH",
    ),
    "Comcast and Orange": (
        "2.0.0 kXyzAbCdEfGhIjKl mail accepted for delivery", "kXyzAbCdEfGhIjKl",
    ),
    "Proofpoint": ("2.0.0 3xyz1abc9k-1 Message accepted for delivery", "3xyz1abc9k-1"),
    "Mimecast": (
        "SmtpThread-4711-1712@uk-mta-12.mimecast.lan Received OK [B2aG7kX0NvKkOdPqRsTuVw.uk12]",
        "B2aG7kX0NvKkOdPqRsTuVw.uk12",
    ),
    "IronPort": ("ok:  Message 12345678 accepted", "12345678"),
    "Kerio": ("2.0.0 6612ab34-00000123 Message accepted for delivery", "6612ab34-00000123"),
    "CommuniGate": ("12345678 message accepted for delivery", "12345678"),
    "hMailServer": ("Queued (1.234 seconds)", ""),
    "MDaemon": ("Ok, message saved <Message-ID: 1@example.com>", ""),
    "Amavis before Postfix": (
        "2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 5C9A31C00B3",
        "5C9A31C00B3",
    ),
    "Amavis with an id of its own": (
        "2.6.0 Ok, id=12345-01-3, from MTA([127.0.0.1]:10025): 250 2.0.0 Ok: queued as 8A7B3",
        "8A7B3",
    ),
    "Courier": (
        "Ok. 00000000000A1B2C.0000000066112233.00001234",
        "00000000000A1B2C.0000000066112233.00001234",
    ),
    "Cyrus": (
        "2.1.5 Ok SESSIONID=<mail.example.com-1234-1712345678-1>",
        "mail.example.com-1234-1712345678-1",
    ),
    "Dovecot": ("2.0.0 <ann@example.com> AbCdEfGhIjKlMnOpQrStUv Saved", "AbCdEfGhIjKlMnOpQrStUv"),
    "MailHog": (f"Ok: queued as {MAILHOG}", MAILHOG),
    "go-smtp": ("2.0.0 OK: queued", ""),
    "go-smtp with an id": (
        "2.0.0 OK: queued 2K6C7TNVWUIRJYGYXJ6K4TYT", "2K6C7TNVWUIRJYGYXJ6K4TYT",
    ),
    "Domino": ("Message accepted for delivery", ""),
    "shouting": ("MESSAGE ACCEPTED FOR DELIVERY", ""),
    "James": ("2.6.0 Message received", ""),
    "mox": ("2.6.0 it is done", ""),
    "inbucket": ("Mail accepted for delivery", ""),
    "several lines": ("2.0.0 thank you\n2.0.0 Ok: queued as 4bF2pJ1Xz9z3k", "4bF2pJ1Xz9z3k"),
    "a count of bytes": ("2.0.0 Ok 12 recipients", ""),
    "nothing": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "queue_id"), REPLIES.values(), ids=REPLIES)
def test_it_finds_the_queue_id_of_each_server(text: str, queue_id: str) -> None:
    assert find_queue_id(text) == queue_id


ENDLESS = {
    "a letter": "a",
    "a digit": "1",
    "blanks": " ",
    "lines": "\n",
    "lines with a word": "a1\n",
    "OK": "OK ",
    "OK and digits": "OK 123456789 ",
    "digits after OK": "OK 1234567890",
    "queued on": "queued on a ",
    "queued as": "queued as ",
    "envelope": "envelope id ",
    "message": "message 1 ",
    "angle brackets": "<",
    "an address": "<a> ",
    "id": "id=",
    "session": "session",
    "enhanced codes": "2.0.0 ",
}


@pytest.mark.parametrize("piece", ENDLESS.values(), ids=ENDLESS)
def test_ten_times_the_text_takes_about_ten_times_the_time(piece: str) -> None:
    """A quadratic pattern would take a hundred times as long."""
    short, long = (piece * (size // len(piece)) for size in (20_000, 200_000))

    assert _seconds(long) < 35 * max(_seconds(short), 0.0001)


def _seconds(text: str) -> float:
    """Return the least processor time of several runs, which other processes disturb least."""
    times = []
    for _ in range(3):
        started = time.process_time()
        find_queue_id(text)
        times.append(time.process_time() - started)
    return min(times)

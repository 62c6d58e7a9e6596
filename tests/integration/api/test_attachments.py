"""Whatever an app has as a file can be attached, and an error names it by its place in the list."""

import io
import os
from collections.abc import Callable
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile

from outbox import api
from outbox.exceptions import InvalidMessageError
from outbox.models import Attachment, Message, Source
from tests.integration.api.reading import read

pytestmark = pytest.mark.usefixtures("shop")

PDF = b"%PDF-1.4 \x00\xff"
AS_PDF = ("a.pdf", "application/pdf", PDF)
PLAIN_BYTES = "application/octet-stream"
Seen = tuple[str | None, str, bytes]


def attached(*files: Any) -> list[Seen]:
    """Send these files; return name, content type and bytes of each, as a recipient reads them."""
    handle = api.send(to="ann@example.com", subject="Files", text=".", attachments=files)
    parts = list(read(handle).iter_attachments())
    return [(part.get_filename(), part.get_content_type(), _data(part)) for part in parts]


def _data(part: Any) -> bytes:
    if part.get_content_type() == "message/rfc822":
        return bytes(part.get_payload(0).as_bytes())
    return bytes(part.get_payload(decode=True))


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    path = tmp_path / "Größe.pdf"
    path.write_bytes(PDF)
    return path


def test_a_path_is_read(pdf: Path) -> None:
    expected = ("Größe.pdf", "application/pdf", PDF)

    assert attached(pdf, str(pdf)) == [expected, expected]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        pytest.param(("a.pdf", PDF), AS_PDF, id="name and content"),
        pytest.param(("a", PDF, "application/x-odd"), ("a", "application/x-odd", PDF), id="a type"),
        pytest.param(("a.txt", "tea"), ("a.txt", "text/plain", b"tea"), id="a text"),
        pytest.param(("README", "tea"), ("README", "text/plain", b"tea"), id="a text of no type"),
        pytest.param(("README", b"tea"), ("README", PLAIN_BYTES, b"tea"), id="no type"),
        pytest.param(("a.pdf", PDF, None), AS_PDF, id="None for a type"),
        pytest.param(("a.pdf", bytearray(PDF)), AS_PDF, id="bytearray"),
        pytest.param(("a.pdf", memoryview(PDF)), AS_PDF, id="memoryview"),
        pytest.param(("a.pdf", io.BytesIO(PDF)), AS_PDF, id="a stream"),
        pytest.param(("x.tar.gz", PDF), ("x.tar.gz", "application/gzip", PDF), id="compressed"),
        pytest.param(("", PDF), (None, PLAIN_BYTES, PDF), id="no name"),
        pytest.param((None, PDF, "image/png"), (None, "image/png", PDF), id="None for a name"),
        pytest.param(("empty.txt", b""), ("empty.txt", "text/plain", b""), id="an empty file"),
    ],
)  # fmt: skip
def test_a_tuple_is_taken_as_django_takes_it(given: Any, seen: Seen) -> None:
    assert attached(given) == [seen]


def test_attachments_of_a_django_message_can_be_passed_on() -> None:
    message = mail.EmailMessage("Hi", "Hello", to=["ann@example.com"])
    message.attach("a.pdf", PDF, "application/pdf")
    message.attach("b.txt", "tea", "text/plain")

    assert attached(*message.attachments) == [
        ("a.pdf", "application/pdf", PDF),
        ("b.txt", "text/plain", b"tea"),
    ]


def test_a_part_without_a_type_gets_the_one_of_its_name() -> None:
    part = api.AttachmentPart(name="a.pdf", content_type="", data=PDF)

    assert attached(part) == [("a.pdf", "application/pdf", PDF)]


def _stored() -> Any:
    message = Message.objects.create()
    row = Attachment(message=message, name="a.pdf", size=len(PDF))
    row.file.save("report.pdf", ContentFile(PDF), save=True)
    return Attachment.objects.get(pk=row.pk).file


def _temporary() -> Any:
    upload = TemporaryUploadedFile("report.pdf", "application/pdf", len(PDF), None)
    upload.write(PDF)
    return upload


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: ContentFile(PDF, name="report.pdf"), id="ContentFile"),
        pytest.param(
            lambda: SimpleUploadedFile("report.pdf", PDF, "application/pdf"), id="an upload"
        ),
        pytest.param(_temporary, id="a large upload"),
        pytest.param(lambda: default_storage.open(_stored().name), id="from a storage"),
    ],
)
def test_a_django_file_is_read(make: Callable[[], Any]) -> None:
    with make() as file:
        ((name, content_type, data),) = attached(file)

    assert str(name).startswith("report")
    assert (content_type, data) == ("application/pdf", PDF)


def test_a_field_file_is_read_and_closed_again() -> None:
    field = _stored()

    ((_, content_type, data),) = attached(field)

    assert (content_type, data) == ("application/pdf", PDF)
    assert field.closed


def test_an_open_file_stays_open_where_it_was() -> None:
    upload = SimpleUploadedFile("report.pdf", PDF, "application/pdf")
    upload.read(4)

    assert attached(upload) == [("report.pdf", "application/pdf", PDF)]
    assert not upload.closed
    assert upload.read() == PDF[4:]


def test_an_open_file_of_python_is_read(pdf: Path) -> None:
    with pdf.open("rb") as opened:
        assert attached(opened) == [("Größe.pdf", "application/pdf", PDF)]


def _enclosed() -> MIMEMessage:
    message = EmailMessage()
    message["Subject"] = "inside"
    message.set_content("tea")
    return MIMEMessage(message)


def test_a_mime_part_is_taken_with_its_name_type_and_content_id() -> None:
    part = MIMEApplication(PDF, "pdf", name="a.pdf")
    part.add_header("Content-Disposition", "attachment", filename="b.pdf")
    text = MIMEText("gr\u00fc\u00df", "csv", "iso-8859-1")

    found = attached(part, text, _enclosed())

    assert found[0] == ("b.pdf", "application/pdf", PDF)
    assert found[1] == (None, "text/csv", "gr\u00fc\u00df".encode("latin-1"))
    assert found[2][1] == "message/rfc822"
    assert b"Subject: inside" in found[2][2]


def test_a_message_can_be_enclosed_as_in_django() -> None:
    inside = mail.EmailMessage("inside", "tea", "shop@example.com", ["ann@example.com"])

    ((name, content_type, data),) = attached(("first.eml", inside))

    assert (name, content_type) == ("first.eml", "message/rfc822")
    assert b"Subject: inside" in data


def _missing() -> Any:
    stored = _stored()
    Path(stored.path).unlink()
    return stored


def _multipart() -> MIMEMultipart:
    part = MIMEMultipart()
    part.attach(MIMEText("tea"))
    return part


def _pipe() -> str:
    path = f"/tmp/outbox-test-pipe-{os.getpid()}"  # noqa: S108  # a name of this test alone
    if not Path(path).exists():
        os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda: "/nowhere/a.pdf", "there is no file", id="no such file"),
        pytest.param(lambda: "/", "there is no file", id="a directory"),
        pytest.param(lambda: "/dev/zero", "there is no file", id="an endless device"),
        pytest.param(_pipe, "there is no file", id="a pipe without a writer"),
        pytest.param(lambda: Path("x" * 5000), r"attachments\[1\]", id="a name that is too long"),
        pytest.param(lambda: "a\0.pdf", r"attachments\[1\]", id="NUL in a path"),
        pytest.param(lambda: io.BytesIO(PDF), "has no name", id="a stream without a name"),
        pytest.param(lambda: ContentFile(PDF), "has no name", id="a file without a name"),
        pytest.param(lambda: Attachment().file, "no file associated", id="an empty field"),
        pytest.param(_missing, "cannot be read", id="gone from the storage"),
        pytest.param(lambda: ("a.pdf",), r"must be \(name, content\)", id="a tuple of one"),
        pytest.param(lambda: ("a.pdf", None), "not None", id="no content"),
        pytest.param(lambda: ("a.pdf", 7), "not int", id="a number for content"),
        pytest.param(lambda: ("a\nb.pdf", PDF), "line break", id="two lines of name"),
        pytest.param(
            lambda: ("a.eml", mail.EmailMessage("two\nlines", to=["ann@example.com"])),
            r"attachments\[1\]",
            id="a message that cannot be rendered",
        ),
        pytest.param(_multipart, "attach each of its parts", id="a multipart"),
        pytest.param(lambda: PDF, "not bytes", id="bytes alone"),
        pytest.param(lambda: None, "not None", id="None"),
        pytest.param(
            lambda: api.AttachmentPart(
                name="a", content_type="image/png", data=b"", content_id="a b"
            ),
            "content id",
            id="a content id with a space",
        ),
    ],
)
def test_an_error_names_the_attachment(make: Callable[[], Any], says: str) -> None:
    try:
        with pytest.raises(InvalidMessageError, match=says) as raised:
            attached(("a.txt", "fine"), make())
    finally:
        Path(f"/tmp/outbox-test-pipe-{os.getpid()}").unlink(missing_ok=True)  # noqa: S108  # see above

    assert raised.value.field == "attachments[1]"
    assert not Source.objects.exists()


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "MAX_MESSAGE_BYTES": 1000}
    path = tmp_path / "sparse.bin"
    with path.open("wb") as opened:
        opened.truncate(10**12)  # takes no room on the disk

    with pytest.raises(InvalidMessageError, match=r"is 1000 GB\. The limit is 1\.0 kB") as raised:
        attached(path)

    assert raised.value.field == "attachments[0]"


@pytest.mark.parametrize("given", [PDF, "a.pdf", Path("a.pdf"), 7, {"a.pdf": PDF}])
def test_a_single_file_instead_of_a_list_is_rejected(given: Any) -> None:
    with pytest.raises(InvalidMessageError, match="attachments must be a list of files") as raised:
        api.send(to="ann@example.com", subject="Files", text=".", attachments=given)

    assert raised.value.field == "attachments"


def test_a_row_of_many_takes_them_too(pdf: Path) -> None:
    result = api.send_many(
        [api.MergeRow("ann@example.com", attachments=[pdf]), api.MergeRow("ben@example.com")],
        subject="Files",
        text=".",
        attachments=[("terms.txt", "All of them.")],
    )

    names = [
        [part.get_filename() for part in read(handle).iter_attachments()]
        for handle in result.handles()
    ]
    assert names == [["terms.txt", "Größe.pdf"], ["terms.txt"]]

"""The authorities that TLS trusts."""

import os
from pathlib import Path

from outbox.smtp.tls import tls_context
from outbox.testing.certificates import Authority


def test_an_authority_file_adds_to_those_of_the_system(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    system = {one["serialNumber"] for one in tls_context(None).get_ca_certs()}
    both = {one["serialNumber"] for one in tls_context(str(authority.ca_file)).get_ca_certs()}
    assert system < both


def test_a_renewed_authority_needs_no_restart(tmp_path: Path) -> None:
    path = tmp_path / "authorities.pem"
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        authority = Authority(folder)
        path.write_bytes(Path(authority.ca_file).read_bytes())
        os.utime(path, ns=(number, number))
        trusted = tls_context(str(path)).get_ca_certs()
        alone = tls_context(str(authority.ca_file)).get_ca_certs()
        assert trusted == alone

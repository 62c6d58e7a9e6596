"""A DNS server on loopback with made-up zones."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.rrset

Zone = dict[tuple[str, str], list[str]]  # name without the last dot, and kind
BROKEN = ["broken"]  # the records of a name for which the server fails
_UDP_MAX = 65_535


@contextmanager
def dns_server(zone: Zone) -> Iterator[str]:
    """Serve a zone over UDP; yield "address:port". Texts of TXT records need no quotes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(server, zone))
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.sendto(b"", server.getsockname())  # an empty datagram ends the thread
            thread.join()


def _serve(server: socket.socket, zone: Zone) -> None:
    while True:
        data, sender = server.recvfrom(_UDP_MAX)
        if not data:
            return
        server.sendto(_response_to(data, zone), sender)


def _response_to(data: bytes, zone: Zone) -> bytes:
    query = dns.message.from_wire(data)
    question = query.question[0]
    name, kind = str(question.name).rstrip(".").lower(), question.rdtype.name
    response = dns.message.make_response(query)
    found = zone.get((name, kind), [])
    if found == BROKEN:
        response.set_rcode(dns.rcode.SERVFAIL)
    elif found:
        texts = [_quoted(one) for one in found] if kind == "TXT" else found
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
    elif not any(one == name or one.endswith(f".{name}") for one, _ in zone):
        response.set_rcode(dns.rcode.NXDOMAIN)
    return response.to_wire(max_size=_UDP_MAX)


def _quoted(text: str) -> str:
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))

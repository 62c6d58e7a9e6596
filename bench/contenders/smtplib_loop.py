"""The bound: `smtplib_loop PORT COUNT`, one kept connection, no database, nothing kept."""

import smtplib
import sys
import time

from bench.contenders._stage import body, report, wait_for_signal


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    head = "From: shop@example.org\r\nSubject: bench\r\n"
    text = body().replace("\n", "\r\n")
    with smtplib.SMTP("127.0.0.1", port) as server:
        server.ehlo()
        began = wait_for_signal()
        for number in range(count):
            source = f"{head}To: to{number}@example.com\r\nMessage-ID: <{number}@b>\r\n\r\n{text}"
            server.sendmail("shop@example.org", [f"to{number}@example.com"], source.encode())
        report(seconds=time.time() - began)


if __name__ == "__main__":
    main()

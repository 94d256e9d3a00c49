"""Serves the dashboard: one page, made anew for whoever asks."""
import argparse
import http.server
import urllib.parse

from stack_tool import topology
from stack_tool.watch.page import Dashboard
from stack_tool.watch.prometheus import Prometheus


class _Handler(http.server.BaseHTTPRequestHandler):
    dashboard = None

    def do_GET(self):
        where = urllib.parse.urlsplit(self.path)
        if where.path == "/healthz":
            self._answer(200, "text/plain", "ok\n")
        elif where.path == "/":
            trace = urllib.parse.parse_qs(where.query).get("trace", [None])[0]
            self._answer(200, "text/html; charset=utf-8", self.dashboard.page(trace))
        else:
            self._answer(404, "text/plain", "There is nothing here.\n")

    def _answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.end_headers()
        self.wfile.write(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--stage", type=int, required=True)
    parser.add_argument("--prometheus", required=True, help="its address")
    parser.add_argument("--logs", required=True, help="folder of the collected logs")
    parser.add_argument("--config", required=True, help="folder of the page and its charts")
    options = parser.parse_args()
    components = {process.component for process in topology.at_stage(options.stage).processes}
    _Handler.dashboard = Dashboard(f"Photo stack, stage {options.stage}", options.config, components, Prometheus(options.prometheus), options.logs)
    address, _, port = options.listen.rpartition(":")
    http.server.ThreadingHTTPServer((address, int(port)), _Handler).serve_forever()


if __name__ == "__main__":
    main()

"""Writes down what Alertmanager tells: a line of JSON in a file for each alert that begins or ends."""
import argparse
import http.server
import json
import pathlib
import time


def lines(notification, now):
    for alert in notification["alerts"]:
        yield json.dumps({"at": now, "status": alert["status"], "labels": alert["labels"], "summary": alert["annotations"].get("summary", "")})


class _Handler(http.server.BaseHTTPRequestHandler):
    file = None

    def _answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self._answer(200 if self.path == "/healthz" else 404)

    def do_POST(self):
        notification = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(self.file, "a") as out:
            out.writelines(f"{line}\n" for line in lines(notification, time.time()))
        self._answer(200)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--file", type=pathlib.Path, required=True)
    options = parser.parse_args()
    _Handler.file = options.file
    address, _, port = options.listen.rpartition(":")
    http.server.HTTPServer((address, int(port)), _Handler).serve_forever()


if __name__ == "__main__":
    main()

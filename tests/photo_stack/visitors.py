"""Somebody who talks to the web server in bytes: nothing here keeps them from asking wrongly."""
import http.client
import json
import re
import secrets
import socket
import time
import urllib.parse

ANSWER_SECONDS = 15

listeners = []  # each is called with the bytes of every request, and its answer


class Answer:
    def __init__(self, raw):
        self.status = raw.status
        self.headers = raw.headers
        self.body = raw.read()

    def error(self):
        try:
            return json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return None


def exchange(entry, content):
    """The answer to these bytes on a connection of their own. Raises OSError or HTTPException when there is none."""
    where = urllib.parse.urlsplit(entry)
    with socket.create_connection((where.hostname, where.port), timeout=ANSWER_SECONDS) as s:
        try:
            s.sendall(content)
        except OSError:
            pass  # refused before all of it was sent: the answer is there
        raw = http.client.HTTPResponse(s, method=content.split(b" ", 1)[0].decode("latin-1"))  # which knows that HEAD has no body
        raw.begin()
        answer = Answer(raw)
    for listen in listeners:
        listen(content, answer)
    return answer


def request(method, target, headers=(), body=b""):
    lines = [f"{method} {target} HTTP/1.1", "Host: photo.test", "Connection: close", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def path_of(url):
    """Of a photo's size: whatever edge it is at, it is at the web server under the same path."""
    return urllib.parse.urlsplit(url).path


def patient_exchange(entry, content):
    """As often as it takes to be within the limit of writes. The answer, and how often it was too many."""
    for refused in range(200):
        answer = exchange(entry, content)
        if answer.status != 429:
            return answer, refused
        time.sleep(0.2)
    return answer, refused


class Visitor:
    """Signed up by a browser's form and logged in by the API, too; without a name: nobody, with a form's token all the same."""

    def __init__(self, entry, name=None):
        self.entry, self.name = entry, name
        self.password = secrets.token_urlsafe(12)
        self.cookie = self.token = ""
        self.visitor, self.form_token = self._form_on("/signup", "")
        if name:
            self._sign_up()

    def _form_on(self, path, cookies):
        answer = exchange(self.entry, request("GET", path, [("Cookie", cookies)]))
        planted = re.search(r"visitor=([^;]+)", answer.headers.get("Set-Cookie", ""))
        return planted and planted.group(1), re.search(rb'form_token" value="([0-9a-f]+)', answer.body).group(1).decode()

    def _sign_up(self):
        form = urllib.parse.urlencode({"form_token": self.form_token, "name": self.name, "password": self.password}).encode()
        headers = [("Cookie", f"visitor={self.visitor}"), ("Content-Type", "application/x-www-form-urlencoded")]
        answer, _ = patient_exchange(self.entry, request("POST", "/signup", headers, form))
        self.cookie = re.search(r"session=([^;]+)", answer.headers["Set-Cookie"]).group(1)
        self.form_token = self._form_on("/photos", f"session={self.cookie}")[1]
        credentials = json.dumps({"name": self.name, "password": self.password}).encode()
        answer, _ = patient_exchange(self.entry, request("POST", "/api/login", [("Content-Type", "application/json")], credentials))
        logged_in = json.loads(answer.body)
        self.token, self.user_id = logged_in["token"], logged_in["user"]["id"]

    def headers(self, target):
        """Who this is, as far as anybody."""
        if target.startswith("/api"):
            return [("Authorization", f"Bearer {self.token}")] if self.token else []
        return [("Cookie", f"session={self.cookie}" if self.cookie else f"visitor={self.visitor}")]

"""A client of the stack's JSON API, as an application on a telephone would be: one connection, opened again when it breaks."""
import hashlib
import http.client
import json
import secrets
import ssl
import time
import urllib.parse

ANSWER_SECONDS = 15
PATIENCE_SECONDS = 30


class Refused(Exception):
    """An answer, but not the one that was asked for."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:200]!r}")
        self.status = status
        self.body = body


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def multipart(files):
    """Name and content of each → body, and its Content-Type."""
    boundary = secrets.token_hex(16)
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="photos"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n" for name, content in files]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Client:
    """Where `line` is given, it says by which address the entry is reached, and connects."""

    def __init__(self, entry, certificate=None, source=None, line=None):
        where = urllib.parse.urlsplit(entry)
        self._certificate = certificate
        self._source = source and (source, 0)
        self._host, self._port = where.hostname, where.port
        self._line, self._address = line, None
        self._tls = ssl.create_default_context(cafile=certificate) if where.scheme == "https" else None
        self._connection = None
        self._edges = {}  # address → client
        self.edges_failed = 0
        self.token = None

    def _connect(self):
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=ANSWER_SECONDS, context=self._tls, source_address=self._source)
        return http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS, source_address=self._source)

    def _go_where_the_name_leads(self):
        """Also with a connection that is there: names are worth their time to live, and no longer."""
        address = self._line.address(self._host)
        if self._connection is None or self._connection.sock is None or address != self._address:
            self.close()
            connection = self._connect()
            connection.sock = self._tls.wrap_socket(self._line.connected(address, 443), server_hostname=self._host)
            self._connection, self._address = connection, address

    def ask(self, method, path, body=None, headers=None):
        """Whatever the answer is. Raises OSError or HTTPException when there is none; the next call connects again."""
        sent = dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            if self._line:
                self._go_where_the_name_leads()
                self._connection.sock.settimeout(self._line.patience(method))
            self._connection = self._connection or self._connect()
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        if self._connection:
            self._connection.close()
        self._connection = None

    def _ask_for(self, status, method, path, body=None, headers=None):
        answer = self.ask(method, path, body, headers)
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while answer.status == 429 and time.monotonic() < patient_until:  # told that it asks too often
            time.sleep(0.2)
            answer = self.ask(method, path, body, headers)
        if answer.status != status:
            raise Refused(answer.status, answer.body)
        return answer

    def _send_json(self, status, path, value):
        return self._ask_for(status, "POST", path, json.dumps(value), {"Content-Type": "application/json"}).json()

    def log_in(self, name, password):
        return self._send_json(200, "/api/login", {"name": name, "password": password})

    def sign_up_and_log_in(self, name, password):
        self._send_json(201, "/api/users", {"name": name, "password": password})
        logged_in = self.log_in(name, password)
        self.token = logged_in["token"]
        return logged_in["user"]["id"]

    def upload(self, name, content, key):
        """The new photo, as the API tells of it."""
        body, kind = multipart([(name, content)])
        return self._ask_for(201, "POST", "/api/photos", body, {"Content-Type": kind, "Idempotency-Key": key}).json()["photos"][0]

    def photo(self, photo_id):
        return self._ask_for(200, "GET", f"/api/photos/{photo_id}").json()

    def edit(self, photo_id, edit, key):
        """The photo with its new version, or with that to come."""
        return self._ask_for(200, "PUT", f"/api/photos/{photo_id}/edit", json.dumps(edit), {"Content-Type": "application/json", "Idempotency-Key": key}).json()

    def delete(self, photo_id):
        self._ask_for(204, "DELETE", f"/api/photos/{photo_id}")

    def fetch(self, url):
        """As pages load their images: from the edge that the address names, and, when that one fails, from where the page came from."""
        where = urllib.parse.urlsplit(url)
        if where.netloc:
            try:
                answer = self.edge(url).ask("GET", where.path)
                if answer.status == 200:
                    return answer.body
            except (OSError, http.client.HTTPException):
                pass
            self.edges_failed += 1
        return self._ask_for(200, "GET", where.path).body

    def edge(self, url):
        """A client of the edge in that address, which is told nothing of who asks."""
        where = urllib.parse.urlsplit(url)
        if where.netloc not in self._edges:
            self._edges[where.netloc] = Client(f"{where.scheme}://{where.netloc}", self._certificate, self._source and self._source[0], self._line)
        return self._edges[where.netloc]

    def photos_of(self, user_id):
        """All of them, page by page."""
        before = ""
        while before is not None:
            page = self._ask_for(200, "GET", f"/api/users/{user_id}/photos?limit=100{before}").json()
            yield from page["photos"]
            before = f"&before={page['next']}" if page["next"] else None


def digest(content):
    return hashlib.sha256(content).hexdigest()

"""A mobile client on its way through the API: everything that the document says can be asked for, and the refusals that it takes no trouble to get.

What is answered is held against the document by whoever listens to the exchanges; here it is said what is wrong with the way itself.
"""
import json
import secrets

from stack_tool import photo_client
from stack_tool.uploaders import RENDITIONS
from visitors import exchange, path_of, patient_exchange, request

PHOTOS = 3
MORE_THAN_A_SMALL_BODY = b"x" * 70_000
NOBODY = 999_999_999


class Phone:
    def __init__(self, entry):
        self.entry, self.token = entry, None

    def ask(self, method, path, body=b"", kind=None, key=None):
        headers = [("Authorization", f"Bearer {self.token}")] if self.token else []
        headers += [("Content-Type", kind)] if kind else []
        headers += [("Idempotency-Key", key)] if key else []
        return patient_exchange(self.entry, request(method, path, headers, body))[0]

    def ask_with(self, path, value, method="POST", key=None):
        return self.ask(method, path, json.dumps(value).encode(), "application/json", key)


def _expect(status, answer):
    assert answer.status == status, f"answered with {answer.status}, and not {status}: {answer.body[:200]!r}"
    return json.loads(answer.body) if answer.body[:1] == b"{" else None


def _password(phone, password):
    changed = {"password": password, "new_password": secrets.token_urlsafe(12)}
    _expect(400, phone.ask_with("/api/password", {"password": password}))
    _expect(403, phone.ask_with("/api/password", {**changed, "password": "another one"}))
    _expect(415, phone.ask("POST", "/api/password", b"password=x", "application/x-www-form-urlencoded"))
    _expect(422, phone.ask_with("/api/password", {**changed, "new_password": "short"}))
    phone.token = _expect(200, phone.ask_with("/api/password", changed))["token"]
    phone.token = _expect(200, phone.ask_with("/api/password", changed))["token"]  # as if the first answer had not come


def _account(phone):
    _expect(400, phone.ask_with("/api/users", {"name": "walker"}))
    _expect(415, phone.ask("POST", "/api/users", b"name=walker", "application/x-www-form-urlencoded"))
    me = {"name": f"walker_{secrets.token_hex(5)}", "password": secrets.token_urlsafe(12)}
    user = _expect(201, phone.ask_with("/api/users", me))
    phone.token = _expect(200, phone.ask_with("/api/login", me))["token"]
    _password(phone, me["password"])
    _expect(200, phone.ask("GET", f"/api/users/{user['id']}"))
    _expect(200, phone.ask("HEAD", f"/api/users/{user['id']}"))
    _expect(404, phone.ask("GET", f"/api/users/{NOBODY}"))
    return user


def _upload(phone, photo):
    body, kind = photo_client.multipart([(f"{number}.jpg", photo) for number in range(PHOTOS)])
    first = _expect(201, phone.ask("POST", "/api/photos", body, kind, "walk"))
    again = _expect(201, phone.ask("POST", "/api/photos", body, kind, "walk"))
    assert first == again, "the same upload under the same key was answered with something else"
    return [photo["id"] for photo in first["photos"]]


def _pages(phone, user, photos):
    path = f"/api/users/{user['id']}/photos"
    first = _expect(200, phone.ask("GET", f"{path}?limit=2"))
    last = _expect(200, phone.ask("GET", f"{path}?limit=2&before={first['next']}"))
    assert last["next"] is None and [p["id"] for p in first["photos"] + last["photos"]] == sorted(photos, reverse=True), "the pages are not all photos, newest first"
    _expect(400, phone.ask("GET", f"{path}?limit=0"))
    _expect(404, phone.ask("GET", f"/api/users/{NOBODY}/photos"))


def _look(scene, phone, photo):
    described = _expect(200, phone.ask("GET", f"/api/photos/{photo}"))
    assert described["state"] in ("ready", "in_work"), f"photo {photo} is {described['state']}"
    described = scene.finished(photo)
    assert len(described["renditions"]) == RENDITIONS, f"photo {photo} has {len(described['renditions'])} sizes"
    for rendition in described["renditions"]:
        _expect(200, phone.ask("GET", path_of(rendition["url"])))
    _expect(200, phone.ask("GET", described["original"]))
    _expect(404, Phone(phone.entry).ask("GET", described["original"]))
    _expect(404, phone.ask("GET", f"/api/photos/{NOBODY}"))


def _edit(phone, photo):
    path, crop = f"/api/photos/{photo}/edit", {"left": 100, "top": 50, "width": 640, "height": 480}
    first = _expect(200, phone.ask_with(path, {"crop": crop, "sharpen": 2, "blur": 0}, "PUT", "walk-edits"))
    again = _expect(200, phone.ask_with(path, {"crop": crop, "sharpen": 2, "blur": 0}, "PUT", "walk-edits"))
    assert first == again, "the same edit under the same key was answered with something else"
    assert first.get("next_edit", first["edit"]) == {"crop": crop, "sharpen": 2}, f"it is another edit: {first}"
    _expect(422, phone.ask_with(path, {"blur": 1}, "PUT", "walk-edits"))
    _expect(422, phone.ask_with(path, {"blur": 11}, "PUT"))
    _expect(400, phone.ask_with(path, {"blurr": 1}, "PUT"))
    _expect(415, phone.ask("PUT", path, b"blur=1", "application/x-www-form-urlencoded"))
    _expect(404, phone.ask_with(f"/api/photos/{NOBODY}/edit", {}, "PUT"))


def _delete(phone, photos):
    path = f"/api/photos/{photos[0]}"
    _expect(400, phone.ask("DELETE", path, key="two words"))
    _expect(422, phone.ask("DELETE", path, key="walk"))  # which uploaded them
    _expect(204, phone.ask("DELETE", path, key="walk-deletes"))
    _expect(204, phone.ask("DELETE", path, key="walk-deletes"))
    _expect(404, phone.ask("DELETE", path))


def _too_large_everywhere(phone, document, photo):
    """An upload is larger than this; its refusal is in refusals.toml."""
    for operation in document.operations:
        if "413" in operation.responses and operation.name != "upload":
            path = operation.path.format(user=1, photo=photo, file="large.jpg")
            _expect(413, phone.ask(operation.method.upper(), path, MORE_THAN_A_SMALL_BODY, "application/json"))


def _nobody_anywhere(phone, document, photo):
    for operation in document.operations:
        if operation.needs_token:
            _expect(401, phone.ask(operation.method.upper(), operation.path.format(photo=photo)))


def walk(scene, document):
    """What is wrong, or nothing."""
    phone = Phone(scene.entry)
    try:
        _expect(200, phone.ask("GET", "/api/openapi.yaml"))
        user = _account(phone)
        photos = _upload(phone, scene.samples["photo"][0][1])
        _pages(phone, user, photos)
        _edit(phone, photos[-1])
        _look(scene, phone, photos[-1])
        _delete(phone, photos)
        _too_large_everywhere(phone, document, photos[-1])
        _expect(204, phone.ask("POST", "/api/logout"))
        _expect(401, phone.ask("POST", "/api/logout"))
        _nobody_anywhere(Phone(scene.entry), document, photos[-1])
    except AssertionError as why:
        return str(why)
    return None


def document_of(entry):
    """As the server sends it."""
    return exchange(entry, request("GET", "/api/openapi.yaml")).body

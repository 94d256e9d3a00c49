#!/usr/bin/python3
"""The document of the API: whether it is one; and, for whoever asks the API, whether it is true.

Usage: tests/photo_stack/api_document.py     looks at the document itself
"""
import itertools
import json
import pathlib
import re
import sys
import urllib.parse

import jsonschema
import yaml

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent / "examples/photo_stack/web/static/api/openapi.yaml"
SCHEMA_OF_OPENAPI = pathlib.Path("/usr/share/openapi-specification/schemas/v3.0/schema.json")  # of the package openapi-specification
METHODS = ("get", "post", "put", "patch", "delete")
ROOTS = ("/api", "/media")  # what the document speaks of
WITH_TROUBLE_ALONE = {"429", "500", "503"}  # answers that not every operation can be made to give


def _as_json_schema(node, closed):
    """OpenAPI's dialect in that of JSON Schema; `closed` objects have no properties but those that are written down."""
    if isinstance(node, list):
        return [_as_json_schema(item, closed) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: _as_json_schema(value, closed and key != "allOf") if key != "allOf" else [_as_part(part, closed) for part in value] for key, value in node.items()}
    if node.get("nullable"):
        out["type"] = [node["type"], "null"]
    if closed and node.get("type") == "object" and "properties" in node:
        out["additionalProperties"] = False
    return out


def _as_part(part, closed):
    """Of an allOf: what it refers to is closed, what it adds to that is not."""
    return _as_json_schema(part, closed and "$ref" in part)


class Request:
    """From its bytes; raises ValueError when they are none."""

    def __init__(self, content):
        head, _, self.body = content.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, target, _ = first.split(" ")
        where = urllib.parse.urlsplit(target)
        self.segments = where.path.split("/")
        self.under = where.path
        self.query = dict(urllib.parse.parse_qsl(where.query, keep_blank_values=True))
        self.headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Operation:
    def __init__(self, path, method, described, parameters):
        self.name, self.method, self.path = described["operationId"], method, path
        self.responses, self.parameters = described["responses"], parameters
        self.body = described.get("requestBody")
        self.needs_token = bool(described.get("security")) and {} not in described["security"]
        self._segments = path.split("/")

    def takes(self, segments):
        return len(segments) == len(self._segments) and all(own.startswith("{") or own == given for own, given in zip(self._segments, segments))

    def path_values(self, segments):
        return {own[1:-1]: given for own, given in zip(self._segments, segments) if own.startswith("{")}


class ApiDocument:
    def __init__(self, text):
        self.document = yaml.safe_load(text)
        self._for_requests = _as_json_schema(self.document, closed=False)
        self._for_answers = _as_json_schema(self.document, closed=True)
        self.operations = [self._operation(path, method, item) for path, item in self.document["paths"].items() for method in METHODS if method in item]
        self.seen = set()  # operations and statuses

    def _operation(self, path, method, item):
        parameters = [self._resolved(p) for p in item.get("parameters", []) + item[method].get("parameters", [])]
        described = {**item[method], "responses": {status: self._resolved(r) for status, r in item[method]["responses"].items()}}
        if "requestBody" in described:
            described["requestBody"] = self._resolved(described["requestBody"])
        return Operation(path, method, described, parameters)

    def _resolved(self, node):
        while "$ref" in node:
            node = jsonschema.RefResolver.from_schema(self.document).resolve(node["$ref"])[1]
        return node

    def _fault_in_value(self, value, schema, closed):
        whole = self._for_answers if closed else self._for_requests
        validator = jsonschema.Draft4Validator(_as_json_schema(schema, closed), resolver=jsonschema.RefResolver.from_schema(whole))
        fault = jsonschema.exceptions.best_match(validator.iter_errors(value))
        return fault and f"{'/'.join(map(str, fault.absolute_path)) or 'it'}: {fault.message[:200]}"

    # ---- is it a document? ----

    def faults(self):
        of_openapi = jsonschema.Draft4Validator(json.loads(SCHEMA_OF_OPENAPI.read_text()))
        yield from (f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in of_openapi.iter_errors(self.document))
        yield from self._broken_references(self.document)
        names = [operation.name for operation in self.operations]
        yield from (f"two operations are called {name}" for name in {*names} if names.count(name) > 1)
        for operation in self.operations:
            yield from self._faults_of(operation)
        yield from self._faults_of_examples(self.document, "")

    def _broken_references(self, node):
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from self._broken_references(value)
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            try:
                self._resolved(node)
            except jsonschema.RefResolutionError as why:
                yield f"{node['$ref']} is nowhere: {why}"

    def _faults_of(self, operation):
        in_path = {*re.findall(r"{(\w+)}", operation.path)}
        described = {p["name"] for p in operation.parameters if p["in"] == "path"}
        if in_path != described:
            yield f"{operation.name}: the path has {in_path}, and its parameters are {described}"
        needed = {"500"} | ({"429"} if operation.method != "get" else set()) | ({"401"} if operation.needs_token else set())
        yield from (f"{operation.name} does not say what its {status} is" for status in sorted(needed - {*operation.responses}))

    def _faults_of_examples(self, node, where):
        if isinstance(node, dict) and "example" in node and "schema" in node:
            if fault := self._fault_in_value(node["example"], node["schema"], closed=True):
                yield f"the example at {where} is none: {fault}"
        for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            yield from self._faults_of_examples(value, f"{where}/{key}")

    # ---- is it true? ----

    def operation_of(self, request):
        method = "get" if request.method == "HEAD" else request.method.lower()
        return next((o for o in self.operations if o.method == method and o.takes(request.segments)), None)

    def faults_in(self, content, answer):
        """What the document does not know of this exchange."""
        try:
            request = Request(content)
        except ValueError:
            return
        if not request.under.startswith(ROOTS):
            return
        operation = self.operation_of(request)
        told = itertools.chain(self._faults_in_answer(request, operation, answer), self._faults_in_taking(request, operation, answer))
        yield from (f"{request.method} {request.under[:80]} → {answer.status}: {fault}" for fault in told)

    def _faults_in_answer(self, request, operation, answer):
        if operation is None or answer.status in (400, 404) and not self._can_be(operation, request):
            yield from self._faults_in_answer_to_unknown(request, answer)
            return
        response = operation.responses.get(str(answer.status))
        if response is None:
            yield f"{operation.name} has no such answer: {answer.body[:200]!r}"
            return
        self.seen.add((operation.name, str(answer.status)))
        yield from self._faults_in_headers(response, answer)
        yield from self._faults_in_body(request, response, answer)

    def _can_be(self, operation, request):
        """Whether the address has what its path asks for."""
        schemas = {p["name"]: p["schema"] for p in operation.parameters if p["in"] == "path"}
        return all(not self._fault_in_text(value, schemas[name]) for name, value in operation.path_values(request.segments).items())

    def _fault_in_text(self, text, schema):
        schema = self._resolved(schema)
        value = int(text) if schema["type"] == "integer" and re.fullmatch("[0-9]+", text) else text
        return self._fault_in_value(value, schema, closed=False)

    def _faults_in_answer_to_unknown(self, request, answer):
        if answer.status not in (400, 404, 405, 431):
            yield "there is no such operation"
        elif request.under.startswith("/api") and answer.error() not in ("bad_request", "not_found", "method_not_allowed") and answer.headers.get_content_type() != "text/plain":
            yield f"not refused as what is not there: {answer.body[:200]!r}"

    def _faults_in_headers(self, response, answer):
        for name, header in response.get("headers", {}).items():
            header, value = self._resolved(header), answer.headers.get(name)
            if value is None:
                yield f"there is no {name}"
            elif fault := self._fault_in_text(value, header["schema"]):
                yield f"{name}: {fault}"

    def _faults_in_body(self, request, response, answer):
        kinds = response.get("content", {})
        kind = answer.headers.get_content_type() if answer.headers["Content-Type"] else None
        if not kinds or request.method == "HEAD":
            if answer.body:
                yield f"there is a body: {answer.body[:100]!r}"
        elif kind not in kinds or not answer.body:
            yield f"the body is {kind}, and not one of {[*kinds]}"
        elif kind == "application/json":
            if fault := self._fault_in_value(json.loads(answer.body), kinds[kind]["schema"], closed=True):
                yield f"the body is not as described: {fault}: {answer.body[:300]!r}"

    def _faults_in_taking(self, request, operation, answer):
        """What is done is what the document allows to be asked for."""
        if operation is None or answer.status >= 300:
            return
        if operation.needs_token and not request.headers.get("authorization", "").startswith("Bearer "):
            yield "done without a token"
        given = {"path": operation.path_values(request.segments), "query": request.query, "header": request.headers}
        for parameter in operation.parameters:
            name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
            value = given[parameter["in"]].get(name)
            if value is not None and (fault := self._fault_in_text(value, parameter["schema"])):
                yield f"taken with {name} = {value!r}: {fault}"
        yield from self._faults_in_taken_body(request, operation)

    def _faults_in_taken_body(self, request, operation):
        kind = request.headers.get("content-type", "").partition(";")[0]
        if operation.body and kind not in operation.body["content"]:
            yield f"taken as {kind}"
        elif operation.body and kind == "application/json":
            if fault := self._fault_in_value(json.loads(request.body), operation.body["content"][kind]["schema"], closed=False):
                yield f"taken with a body that is not as described: {fault}"

    def never_seen(self):
        """Answers that nobody was given, although it takes no trouble to get them."""
        described = {(o.name, status) for o in self.operations for status in {*o.responses} - WITH_TROUBLE_ALONE}
        return sorted(described - self.seen)


def main():
    document = ApiDocument(SOURCE.read_text())
    faults = list(document.faults())
    for fault in faults:
        print(f"! {fault}")
    print(f"{len(document.operations)} operations with {sum(len(o.responses) for o in document.operations)} answers, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

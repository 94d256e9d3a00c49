"""People who are logged in, and log in, while something is broken: is anybody thrown out?"""
import http.client
import secrets
import threading
import time

from stack_tool.background import END_SECONDS, Background
from stack_tool.gaps import longest_gap
from stack_tool.photo_client import Refused
from stack_tool.waiting import awaited

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 60


class LoggedIn(Background):
    """Looks at what is for its owner alone, again and again, and logs in again and again: each answered log-in has to count for ever after."""

    def __init__(self, stack, photo):
        super().__init__()
        self._reader, self._opener = stack.client(), stack.client()
        name, password = f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12)
        self._reader.sign_up_and_log_in(name, password)
        self._original = self._reader.upload(*photo, secrets.token_hex(8))["original"]
        self._opening = threading.Thread(target=self._log_in_again, args=(name, password), daemon=True)
        self.tokens = [self._reader.token]
        self.answers = []  # (begun, answered, status)

    def __enter__(self):
        self._opening.start()
        return super().__enter__()

    def __exit__(self, *_):
        super().__exit__()
        self._opening.join(END_SECONDS)

    def run(self):
        while not self.ending.wait(PAUSE_SECONDS):
            begun = time.monotonic()
            status = self._look(self.tokens[0])
            self.answers.append((begun, time.monotonic(), status))

    def _look(self, token):
        self._reader.token = token
        try:
            return self._reader.ask("GET", self._original).status
        except (OSError, http.client.HTTPException):
            return None

    def _log_in_again(self, name, password):
        while not self.ending.wait(PAUSE_SECONDS):
            try:
                self.tokens.append(self._opener.log_in(name, password)["token"])
            except (Refused, OSError, http.client.HTTPException):
                continue

    def longest_gap_since(self, moment):
        """Between two answers to somebody who is logged in."""
        return longest_gap([answered for _, answered, status in self.answers if status == 200], moment)

    def slowest(self):
        return max(answered - begun for begun, answered, _ in self.answers)

    def wait_for_an_answer(self):
        """To a question that is asked from now on."""
        moment = time.monotonic()
        awaited(lambda: any(begun >= moment and status == 200 for begun, _, status in self.answers[-1:]), PATIENCE_SECONDS, pause=0.01)

    def strangers(self):
        """Those who were logged in, and are not. REQUIRES: it has ended."""
        return [f"log-in {number} was answered, and is worth nothing" for number, token in enumerate(self.tokens) if self._look(token) != 200]

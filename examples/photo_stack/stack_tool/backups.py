"""Backups, again and again: a full one first, then what has changed since. The log between them is sent by the databases themselves (archiving/)."""
import argparse
import configparser
import pathlib
import subprocess
import time

LOOK_SECONDS = 1


class Shard:
    def __init__(self, config, name, folder, every):
        self.name, self._folder = name, pathlib.Path(folder)
        self._command = ["/usr/bin/pgbackrest", f"--config={config}", f"--stanza={name}"]
        self._every, self._due = every, 0.0
        self._has_stanza = self._is_backed_up = False

    def _pgbackrest(self, *words):
        print(f"{self.name}: pgbackrest {' '.join(words)}", flush=True)
        return subprocess.run([*self._command, *words]).returncode == 0

    def is_done(self):
        """One that is not there needs none."""
        return self._is_backed_up or not self._is_there()

    def _is_there(self):
        return (self._folder / "PG_VERSION").exists()

    def back_up_when_due(self):
        """What fails is tried again at the next look."""
        if time.monotonic() < self._due or not self._is_there():
            return
        self._has_stanza = self._has_stanza or self._pgbackrest("stanza-create")
        if self._has_stanza and self._pgbackrest("--type=incr", "backup"):  # the first one is a full one by itself
            self._is_backed_up, self._due = True, time.monotonic() + self._every


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="pgbackrest's own, with a section for each shard")
    parser.add_argument("--every", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--done", type=pathlib.Path, required=True, help="a file that is there once the first backups are")
    options = parser.parse_args()
    sections = configparser.ConfigParser()
    sections.read(options.config)
    shards = [Shard(options.config, name, sections[name]["pg1-path"], options.every) for name in sections.sections() if name != "global"]
    while True:
        for shard in shards:
            shard.back_up_when_due()
        if all(shard.is_done() for shard in shards):
            options.done.touch()
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()

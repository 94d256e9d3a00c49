"""Backups, again and again: a full one first, then what has changed since. The log between them is sent by the databases themselves (archiving/)."""
import argparse
import pathlib
import subprocess
import time

PAUSE_AFTER_FAILURE_SECONDS = 1


def _pgbackrest(config, *words):
    print(f"pgbackrest {' '.join(words)}", flush=True)
    return subprocess.run(["/usr/bin/pgbackrest", f"--config={config}", "--stanza=photos", *words]).returncode == 0


def _until_done(config, *words):
    while not _pgbackrest(config, *words):
        time.sleep(PAUSE_AFTER_FAILURE_SECONDS)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="pgbackrest's own")
    parser.add_argument("--every", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--done", type=pathlib.Path, required=True, help="a file that is there once the first backup is")
    options = parser.parse_args()
    _until_done(options.config, "stanza-create")
    kind = "incr" if options.done.exists() else "full"
    while True:
        _until_done(options.config, f"--type={kind}", "backup")
        options.done.touch()
        kind = "incr"
        time.sleep(options.every)


if __name__ == "__main__":
    main()

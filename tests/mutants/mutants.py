#!/usr/bin/env python3
"""Would the tests notice? Samples small wrong changes from the conditions, calls and constants of core, driver, store and client, and runs the tests on each.

    tests/mutants/mutants.py [--seed S] [--count N] [--folder DIR] [--jobs J]      needs: apt-get install python3
    tests/mutants/mutants.py --go-on [--only N,N]                                  the same sample again: what was stopped, or these after a test was written
    tests/mutants/mutants.py --report                                              what is known of it by now

All sampled changes are compiled into one build of a copy of the sources, each behind a switch (switch.hpp), so that a mutant costs a run of the tests and no
compilation. Which tests reach which change is found first; a test runs only with changes that it reaches, and stops at its first failure. Each test is tried on
all changes that are left before the next one, which takes longer, begins.

What no test catches survives. Why a survivor may is said in explained.txt beside this file: such a one is still counted, and said apart. The exit code is 0 when
at least 95 % of those that are not explained were caught.
"""
import argparse
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MUTATED = ("broker/core", "broker/driver", "broker/storage", "client")
NOT_MUTATED = ("client/cli/",  # the programs' words
               "broker/storage/rocksdb_tuning.cpp")  # sizes and numbers that make RocksDB faster or slower, and change nothing that it answers
memory_max = 4 << 30
EXPLAINED = os.path.join(ROOT, "tests/mutants/explained.txt")

# What a change in leaves every promise as it was: checks of what cannot be, words for people, room made in advance.
SAYS_NOTHING = re.compile(r"\binvariant\(|\bassert\(|\blog_|spdlog|reserve\(|shrink_to_fit|std::move\(\w+\);$")
NO_BODY = re.compile(r"^\s*(#|//|\*|case |default:|template|using |static_assert|namespace |friend |enum |struct |class )|\bconstexpr\b|\boperator\b|__attribute__|\basm\b")
OPERATORS = {"<": ("less", ">", "<="), "<=": ("less_equal", ">=", "<"), ">": ("greater", "<", ">="), ">=": ("greater_equal", "<=", ">"),
             "==": ("equal", "==", "!="), "!=": ("unequal", "!=", "=="), "+": ("plus", "+", "-"), "-": ("minus", "-", "+")}
OPERATOR = re.compile(r"(?<=[\w)\]}\"']) (<|<=|>|>=|==|!=|\+|-) (?=[\w(\"'{*!&:~-])")
JOINT = re.compile(r" (&&|\|\|) ")
NUMBER = re.compile(r"(?<=[ (])(\d[\d']*)(?=[;,) ])")
CALL = re.compile(r"^(\s+)((?:[\w:]+(?:\(\))?(?:\.|->))*[\w:]+\(.*\));$")
ASSIGNMENT = re.compile(r"^(\s+)((?:[\w]+(?:\(\))?(?:\.|->))*\w+(?:\[[^\]]*\])? (?:=|\+=|-=|\|=) [^=].*);$")
STEP = re.compile(r"^(\s+)((?:\+\+|--)[\w.>()-]+);$")
ANSWER = re.compile(r"\breturn (true|false);")
KEYWORDS = ("return", "if", "for", "while", "switch", "else", "do", "throw", "delete", "co_return", "co_await", "co_yield", "goto", "typedef")


def masked(line):
    """The line with strings, characters and comments blanked, position by position."""
    out, i = list(line), 0
    while i < len(line):
        if line.startswith("//", i):
            out[i:] = " " * (len(line) - i)
            break
        if line[i] in "\"'" and not (line[i] == "'" and i > 0 and line[i - 1].isdigit()):
            quote, j = line[i], i + 1
            while j < len(line) and line[j] != quote:
                j += 2 if line[j] == "\\" else 1
            for k in range(i + 1, min(j, len(line))):
                out[k] = "x"
            i = j
        i += 1
    return "".join(out)


def balanced(text):
    depth = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if depth < 0:
            return False
    return depth == 0


def condition_of_if(code):
    """(begin, end) of the whole condition of an `if` on this line, after its init-statement."""
    found = re.search(r"\bif \(", code)
    if not found:
        return None
    depth, begin = 1, found.end()
    for at in range(found.end(), len(code)):
        depth += (code[at] == "(") - (code[at] == ")")
        if depth == 1 and code[at] == ";":
            begin = at + 2
        if depth == 0:
            condition = code[begin:at]
            return None if re.match(r"(const )?(auto|[\w:<>]+)[*&]*(\s[\w*&]+|\s*\[.*\]) = ", condition) else (begin, at)
    return None


def changes_of_line(line, before):
    """Each possible change of the line: (what it is, the line with `%d` where its number comes)."""
    code = masked(line)
    if NO_BODY.search(code) or SAYS_NOTHING.search(line) or not line.startswith("    "):
        return
    line = line.replace("%", "%%")
    code = masked(line)
    for m in OPERATOR.finditer(code):
        name, closing, wrong = OPERATORS[m.group(1)]
        if m.group(1) == "+" and '"' in line:  # words
            continue
        yield f"'{m.group(1)}' is '{wrong}'", f"{line[:m.start()]} {m.group(1)} mutants::{name}{{%d}} {closing} {line[m.end():]}"
    for m in JOINT.finditer(code):
        sure = "!mutants::on(%d)" if m.group(1) == "&&" else "mutants::on(%d)"
        yield f"'{m.group(1)}' is {'false' if m.group(1) == '&&' else 'true'}", f"{line[:m.end()]}{sure} {m.group(1)} {line[m.end():]}"
    if span := condition_of_if(code):
        yield "the condition is negated", f"{line[:span[0]]}mutants::on(%d) != static_cast<bool>({line[span[0]:span[1]]}){line[span[1]:]}"
    for m in NUMBER.finditer(code):
        yield f"{m.group(1)} is one more", f"{line[:m.start()]}(mutants::on(%d) ? {m.group(1)} + 1 : {m.group(1)}){line[m.end():]}"
    if m := ANSWER.search(code):
        sign = "!" if m.group(1) == "true" else ""
        yield f"{m.group(1)} is the opposite", f"{line[:m.start()]}return {sign}mutants::on(%d);{line[m.end():]}"
    begins = re.search(r"[{};:)]\s*$|\belse$|^$", masked(before).rstrip() if before.strip() and not before.strip().startswith("//") else "")
    for kind, pattern in (("the call is left out", CALL), ("the assignment is left out", ASSIGNMENT), ("the step is left out", STEP)):
        m = pattern.match(code.rstrip())
        if begins and m and balanced(m.group(2)) and re.match(r"[\w:+-]+", m.group(2)).group(0).strip() not in KEYWORDS:
            statement = line[m.start(2):m.end(2)]
            yield kind, f"{m.group(1)}{{ if (!mutants::on(%d)) {statement}; }}{line[m.end():]}"


class change:
    """A change is known again by its file, what it is, and the text of its line: lines move."""
    def __init__(self, file, line, what, original, text):
        self.file, self.line, self.what, self.text = file, line, what, text
        self.key = f"{file}: {what}: {original.strip()}"
        self.number, self.caught_by, self.passed = 0, None, set()

    def __str__(self):
        return f"{self.number:4} {self.file}:{self.line + 1}:{self.key[len(self.file) + 1:]}"


def all_changes():
    found = []
    for folder in MUTATED:
        for path, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                file = os.path.relpath(os.path.join(path, name), ROOT)
                if not name.endswith(".cpp") or file.startswith(NOT_MUTATED):
                    continue
                lines = open(os.path.join(ROOT, file)).read().split("\n")
                for i, line in enumerate(lines):
                    kinds = {}
                    for what, text in changes_of_line(line, lines[i - 1]):
                        kinds[what] = kinds.get(what, 0) + 1
                        found.append(change(file, i, what if kinds[what] == 1 else f"{what}, number {kinds[what]}", line, text))
    return sorted(found, key=lambda c: (c.file, c.line, c.what))


def sample(found, seed, count):
    """At most one change a line: a line that does not compile tells which change it was."""
    chosen, lines = [], set()
    for c in random.Random(seed).sample(found, len(found)):
        if len(chosen) < count and (c.file, c.line) not in lines:
            lines.add((c.file, c.line))
            chosen.append(c)
    chosen.sort(key=lambda c: (c.file, c.line))
    for number, c in enumerate(chosen, 1):
        c.number = number
    print(f"{len(found)} possible changes, {len(chosen)} sampled with seed {seed}", flush=True)
    return chosen


def explanations(found):
    """Key → why nothing could notice it, from explained.txt: a line that names the change, as it is printed here, and the reason on indented lines below."""
    reasons, key = {}, None
    for line in open(EXPLAINED).read().split("\n"):
        if line.startswith(" "):
            reasons[key] = (reasons[key] + " " + line.strip()).strip()
        elif line and not line.startswith("#"):
            key = line
            reasons[key] = ""
    known = {c.key for c in found}
    for key in reasons:
        if key not in known:
            print(f"explained.txt names what is no longer there: {key}", flush=True)
        if not reasons[key]:
            sys.exit(f"explained.txt gives no reason for: {key}")
    return reasons


class state:
    """What is known of a sample, in the folder, so that a run goes on where it was stopped."""
    def __init__(self, folder):
        self.sample_file, self.judged_file = os.path.join(folder, "sample.json"), os.path.join(folder, "judged.txt")

    def begin(self, seed, changes):
        with open(self.sample_file, "w") as out:
            json.dump({"seed": seed, "changes": [[c.number, c.line, c.key] for c in changes]}, out, indent=0)
        open(self.judged_file, "w").close()

    def load(self, found):
        """The sample as the sources are now; a change whose line is gone or was rewritten is said and left out."""
        stored = json.load(open(self.sample_file))
        changes = []
        for number, line, key in stored["changes"]:
            alike = [c for c in found if c.key == key and c.number == 0]
            if not alike:
                print(f"no longer there: {number:4} {key}", flush=True)
                continue
            c = min(alike, key=lambda c: abs(c.line - line))
            c.number = number
            changes.append(c)
        by_number = {str(c.number): c for c in changes}
        for record in open(self.judged_file).read().split("\n"):
            number, verdict, test = (record.split("\t") + ["", ""])[:3]
            c = by_number.get(number)
            if c and verdict == "caught":
                c.caught_by = test
            elif c and verdict == "passed":
                c.passed.add(test)
            elif c and verdict == "again":
                c.caught_by, c.passed = None, set()
        return stored["seed"], changes

    def record(self, c, verdict, test=""):
        with open(self.judged_file, "a") as out:
            out.write(f"{c.number}\t{verdict}\t{test}\n")


def write_tree(tree, changes):
    """The sources with all changes in them; a file that is already so keeps its time, and is not compiled again."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], stdout=subprocess.PIPE, check=True).stdout
    files = [f for f in listed.decode().split("\0") if f and os.path.exists(os.path.join(ROOT, f))]
    changed = {c.file for c in changes}
    for file in files:
        source, path = os.path.join(ROOT, file), os.path.join(tree, file)
        content = open(source, "rb").read()
        if file in changed or file.startswith(MUTATED) and file.endswith(".cpp"):
            lines = content.decode().split("\n")
            for c in changes:
                if c.file == file:
                    lines[c.line] = c.text % c.number
            if file in changed:
                lines[0:0] = ['#include "tests/mutants/switch.hpp"', "#line 1"]
            content = "\n".join(lines).encode()
        if os.path.exists(path) and open(path, "rb").read() == content:
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(content)
        shutil.copymode(source, path)
    for path, folders, names in os.walk(tree):
        if path == tree and "build" in folders:
            folders.remove("build")
        for name in names:
            if os.path.relpath(os.path.join(path, name), tree) not in files:
                os.remove(os.path.join(path, name))


def build(folder, changes, jobs):
    """Compiles the changes in; those that do not compile are dropped. Returns the ones that remain."""
    tree = os.path.join(folder, "tree")
    out = os.path.join(tree, "build")
    while True:
        write_tree(tree, changes)
        # Configured as the checkout is, in a folder at the same place: ccache then has all that no change is in.
        subprocess.run(["cmake", "-S", tree, "-B", out, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DMILLRACE_WERROR=ON"], check=True,
                       stdout=subprocess.DEVNULL)
        ended = subprocess.run(["cmake", "--build", out, f"-j{jobs}", "--target", *TARGETS, "--", "-k", "0"], capture_output=True, text=True)
        if ended.returncode == 0:
            return changes
        lines = re.findall(r"^(\S+?):(\d+):\d+: (?:error:|  required from)", ended.stdout, re.MULTILINE)
        at_fault = {(os.path.relpath(os.path.join(out, path), tree), int(line) - 1) for path, line in lines}
        dropped = [c for c in changes if (c.file, c.line) in at_fault]
        if not dropped:
            sys.exit("the copy does not build:\n" + ended.stdout[-8000:])
        for c in dropped:
            print(f"does not compile:    {c}", flush=True)
        with open(os.path.join(folder, "does_not_compile.log"), "a") as log:
            log.write(ended.stdout)
        changes = [c for c in changes if c not in dropped]


TARGETS = ("test_driver", "test_client", "test_check", "test_admin", "test_server", "test_core", "test_worker", "test_storage", "test_sim", "test_power", "test_process",
           "millrace-sim", "millrace-power-cut", "millrace-crash-loop", "fuzz-replay")


def tests(tree):
    """Name → command; the cheap ones first, as they were measured once."""
    at = lambda name: os.path.join(tree, "build", "tests", name)
    of_layer = lambda *names: {name: [at(f"test_{name}"), "--abort"] for name in names}
    sim = lambda first, count: [at("millrace-sim"), "--seed-start", str(first), "--seeds", str(count), "--quiet"]
    fuzz = lambda target: [at("fuzz/fuzz-replay"), target, os.path.join(tree, "tests/fuzz/corpus", target), "20"]
    cuts = lambda *flip: [at("millrace-power-cut"), "--seed", "1", "--cuts", "15", *flip]
    # What takes long in a layer comes for itself, when the rest of it has not caught the change.
    apart = lambda name, slow: {name: [at(f"test_{name}"), "--abort", f"~[.]~{slow}"], f"{name}, {slow}": [at(f"test_{name}"), "--abort", slow]}
    return (of_layer("driver", "client", "admin", "server") | apart("core", "every promise*") | of_layer("check", "sim") | {"20 seeds": sim(1, 20)}
            | {f"fuzz {target}": fuzz(target) for target in ("rows", "recover", "entry", "log_scan", "session", "client", "shard")}
            | {"flips": cuts("--flip"), "power cuts": cuts()} | of_layer("power", "worker") | apart("storage", "the space*")
            | {"100 seeds": sim(1000, 100), "process": [at("process/test_process"), "--abort"],
               "crash loop": [at("process/millrace-crash-loop"), "--cycles", "8", "--seed", "31"]})


def run(command, environment, seconds):
    """True when it ended well in time, and in the memory that it may have: a loop that allocates for ever is caught before the machine has none."""
    child = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory_max, memory_max)))
    try:
        return child.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()


def run_apart(folder, number, command, environment, seconds):
    """With a folder of its own for what it leaves when it is killed."""
    scratch = os.path.join(folder, "scratch", str(number))
    os.makedirs(scratch, exist_ok=True)
    try:
        return run(command, {**environment, "TMPDIR": scratch}, seconds)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def find_reach(folder, name, command, measure=True):
    """The changes that a test reaches, and its seconds; measured again when its program is newer. None when it was never measured and shall not be."""
    seen, seconds = (os.path.join(folder, f"{what}.{re.sub(r'[^a-z0-9]+', '_', name)}") for what in ("seen", "seconds"))
    if not measure and not os.path.exists(seconds):
        return None
    if measure and (not os.path.exists(seconds) or os.path.getmtime(seconds) < os.path.getmtime(command[0])):
        if os.path.exists(seen):
            os.remove(seen)
        began = time.monotonic()
        if not run_apart(folder, 0, command, {"MILLRACE_MUTANTS_SEEN": seen}, 900):
            sys.exit(f"'{name}' fails without any change: {' '.join(command)}")
        with open(seconds, "w") as out:
            out.write(f"{time.monotonic() - began:.1f}")
    marks = open(seen, "rb").read() if os.path.exists(seen) else b""
    return {i for i, b in enumerate(marks) if b}, float(open(seconds).read())


def judge(folder, known, changes, all_tests, jobs):
    """Each test on all that no earlier one caught."""
    for name, command in all_tests.items():
        places, took = find_reach(folder, name, command)
        left = [c for c in changes if not c.caught_by and c.number in places and name not in c.passed]
        passes = lambda c: (c, run_apart(folder, c.number, command, {"MILLRACE_MUTANT": str(c.number)}, 3 * took + 20))
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for ended in concurrent.futures.as_completed([pool.submit(passes, c) for c in left]):
                c, passed = ended.result()
                known.record(c, "passed" if passed else "caught", name)
                if passed:
                    c.passed.add(name)
                else:
                    c.caught_by = name
                    print(f"{'caught by ' + name:20} {c}", flush=True)
        print(f"  after {name} ({took:.0f} s, reaches {len(places)}): {sum(not c.caught_by for c in changes)} of {len(changes)} are left", flush=True)


def report(seed, changes, reasons, reach):
    """True when enough were caught. Whoever is explained and caught all the same is said too: the explanation was wrong, or is no longer needed."""
    is_open = lambda c: any(c.number in places and name not in c.passed for name, (places, _) in reach.items())
    caught, explained = [c for c in changes if c.caught_by], [c for c in changes if not c.caught_by and c.key in reasons]
    survivors = [c for c in changes if not c.caught_by and c.key not in reasons]
    for c in caught:
        if c.key in reasons:
            print(f"explained but caught by {c.caught_by}: {c}")
    for title, group in (("explained", explained), ("SURVIVES", survivors)):
        for c in group:
            reached = any(c.number in places for places, _ in reach.values())
            note = "" if reached else "   (nothing reaches it)"
            print(f"{title:20} {c}{note}{'   (not all tests have run on it)' if is_open(c) else ''}")
            if c.key in reasons:
                print(f"{'':25} {reasons[c.key]}")
    part = lambda of: f"{len(caught)} of {of} = {100 * len(caught) / max(of, 1):.1f} %"
    print(f"seed {seed}: {part(len(changes))} caught; {len(explained)} survive and are explained, {len(survivors)} survive and are not; "
          f"of those not explained {part(len(changes) - len(explained))}")
    return len(caught) >= 0.95 * (len(changes) - len(explained))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--count", type=int, default=240, help="changes to sample; a few do not compile")
    parser.add_argument("--folder", default="/var/tmp/millrace-mutants", help="for the copy, its build, and what is known of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--go-on", action="store_true", help="with the sample in the folder, where its run was stopped; the sources and tests may have changed")
    parser.add_argument("--only", default="", help="with --go-on: judge the changes of these numbers again, as if nothing was known of them, and no others")
    parser.add_argument("--tests", default="", help="only these tests, for example: core,100 seeds")
    parser.add_argument("--report", action="store_true", help="print what is known of the sample in the folder and run nothing")
    parser.add_argument("--list", action="store_true", help="print the sample and do nothing")
    o = parser.parse_args()
    found = all_changes()
    reasons = explanations(found)
    known = state(o.folder)
    if o.go_on or o.report:
        seed, changes = known.load(found)
    else:
        seed, changes = o.seed, sample(found, o.seed, o.count)
    if o.list:
        for c in changes:
            print(c, "->", (c.text % c.number).strip())
        return 0
    wanted = {int(n) for n in o.only.split(",") if n}
    os.makedirs(o.folder, exist_ok=True)
    if not o.report:
        changes = build(o.folder, changes, o.jobs)
    if not o.go_on and not o.report:
        known.begin(seed, changes)
    for c in changes:
        if c.number in wanted:
            c.caught_by, c.passed = None, set()
            known.record(c, "again")
    all_tests = {name: command for name, command in tests(os.path.join(o.folder, "tree")).items() if not o.tests or name in o.tests.split(",")}
    if not o.report:
        judged = [c for c in changes if not wanted or c.number in wanted]
        judge(o.folder, known, [c for c in judged if c.key not in reasons], all_tests, o.jobs)
        judge(o.folder, known, [c for c in judged if c.key in reasons], all_tests, o.jobs)  # last: they are expected to cost all the time there is
    measured = {name: find_reach(o.folder, name, command, measure=False) for name, command in tests(os.path.join(o.folder, "tree")).items()}
    reach = {name: found for name, found in measured.items() if found}
    return 0 if report(seed, changes, reasons, reach) else 1


if __name__ == "__main__":
    sys.exit(main())

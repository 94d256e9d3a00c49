#!/usr/bin/env python3
"""Would the tests notice? Samples small wrong changes from the conditions, calls and constants of core, driver, store and client, and runs the tests on each.

    tests/mutants/mutants.py [--seed S] [--count N] [--folder DIR] [--jobs J]      needs: apt-get install python3

All sampled changes are compiled into one build of a copy of the sources, each behind a switch (switch.hpp), so that a mutant costs a run of the tests and no
compilation. Which tests reach which change is found first; a test runs only with changes that it reaches, and stops at its first failure. The survivors are
printed with their place and the changed line, and written to DIR/survivors.txt; the exit code is 0 when at least 95 % were caught.
"""
import argparse
import concurrent.futures
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MUTATED = ("broker/core", "broker/driver", "broker/storage", "client")
NOT_MUTATED = ("client/cli/", "client/install/")

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
    def __init__(self, file, line, what, text):
        self.file, self.line, self.what, self.text = file, line, what, text
        self.number, self.caught_by = 0, None


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
                    found += [change(file, i, what, text) for what, text in changes_of_line(line, lines[i - 1])]
    return sorted(found, key=lambda c: (c.file, c.line, c.what))


def sample(seed, count):
    """At most one change a line: a line that does not compile tells which change it was."""
    found = all_changes()
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


def write_changes(tree, changes, files):
    for file in files:
        lines = open(os.path.join(ROOT, file)).read().split("\n")
        for c in changes:
            if c.file == file:
                lines[c.line] = c.text % c.number
        text = "\n".join(lines)
        path = os.path.join(tree, file)
        if open(path).read() != text:
            open(path, "w").write(text)


def build(folder, changes, jobs):
    """Compiles the changes in; those that do not compile are dropped. Returns the ones that remain."""
    tree, out = os.path.join(folder, "tree"), os.path.join(folder, "build")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-C", ROOT, "--null", "-T", "-", "-cf", os.path.join(folder, "tree.tar")], input=files, check=True)
    subprocess.run(["tar", "-C", tree, "-xf", os.path.join(folder, "tree.tar")], check=True)
    flags = f"-include {tree}/tests/mutants/switch.hpp"
    subprocess.run(["cmake", "-S", tree, "-B", out, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_CXX_FLAGS={flags}"], check=True,
                   stdout=subprocess.DEVNULL)
    files = {c.file for c in changes}
    while True:
        write_changes(tree, changes, files)
        ended = subprocess.run(["cmake", "--build", out, f"-j{jobs}", "--", "-k", "0"], capture_output=True, text=True)
        if ended.returncode == 0:
            return changes
        at_fault = {(os.path.relpath(path, tree), int(line) - 1)
                    for path, line in re.findall(r"^(/[^:\n]+):(\d+):", ended.stdout, re.MULTILINE) if path.startswith(tree)}
        dropped = [c for c in changes if (c.file, c.line) in at_fault]
        if not dropped:
            sys.exit("the copy does not build:\n" + ended.stdout[-8000:])
        for c in dropped:
            print(f"  does not compile: {c.file}:{c.line + 1} {c.what}", flush=True)
        changes = [c for c in changes if c not in dropped]


def tests(out):
    """Cheap ones first."""
    at = lambda name: os.path.join(out, "tests", name)
    return [("driver", [at("test_driver"), "--abort"]), ("client", [at("test_client"), "--abort"]), ("proto", [at("test_proto"), "--abort"]),
            ("sim", [at("millrace-sim"), "--seed-start", "1", "--seeds", "20", "--quiet"]), ("check", [at("test_check"), "--abort"]),
            ("admin", [at("test_admin"), "--abort"]), ("core", [at("test_core"), "--abort"]), ("worker", [at("test_worker"), "--abort"]),
            ("storage", [at("test_storage"), "--abort"]), ("sim of 300", [at("millrace-sim"), "--seed-start", "1000", "--seeds", "300", "--quiet"]),
            ("process", [os.path.join(out, "tests", "process", "test_process"), "--abort"]),
            ("crash loop", [os.path.join(out, "tests", "process", "millrace-crash-loop"), "--cycles", "8", "--seed", "31"])]


def run(command, environment, seconds):
    """True when it ended well in time."""
    child = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
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


def find_reach(folder, list_of_tests):
    """What each test reaches, and how long it takes."""
    reach = {}
    for name, command in list_of_tests:
        seen = os.path.join(folder, "seen." + name.replace(" ", "_"))
        if os.path.exists(seen):
            os.remove(seen)
        began = time.monotonic()
        if not run(command, {"MILLRACE_MUTANTS_SEEN": seen}, 900):
            sys.exit(f"'{name}' fails without any change: {' '.join(command)}")
        took = time.monotonic() - began
        marks = open(seen, "rb").read() if os.path.exists(seen) else b""
        reach[name] = ({i for i, b in enumerate(marks) if b}, took)
        print(f"  {name}: {took:.0f} s, reaches {len(reach[name][0])} changes", flush=True)
    return reach


def judge(c, list_of_tests, reach):
    for name, command in list_of_tests:
        reached, took = reach[name]
        if c.number in reached and not run(command, {"MILLRACE_MUTANT": str(c.number)}, 4 * took + 20):
            c.caught_by = name
            return c
    return c


def describe(c):
    line = open(os.path.join(ROOT, c.file)).read().split("\n")[c.line].strip()
    return f"{c.file}:{c.line + 1}: {c.what}: {line}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--count", type=int, default=240, help="changes to sample; a few do not compile")
    parser.add_argument("--folder", default="/var/tmp/millrace-mutants", help="for the copy and its build")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--list", action="store_true", help="print the sample and do nothing")
    o = parser.parse_args()
    changes = sample(o.seed, o.count)
    if o.list:
        for c in changes:
            print(describe(c), "->", (c.text % c.number).strip())
        return 0
    os.makedirs(o.folder, exist_ok=True)
    changes = build(o.folder, changes, o.jobs)
    list_of_tests = tests(os.path.join(o.folder, "build"))
    reach = find_reach(o.folder, list_of_tests)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        for c in concurrent.futures.as_completed([pool.submit(judge, c, list_of_tests, reach) for c in changes]):
            c = c.result()
            print(f"{'caught by ' + c.caught_by if c.caught_by else 'SURVIVES':20} {c.number:4} {describe(c)}", flush=True)
    survivors = [c for c in changes if not c.caught_by]
    caught = len(changes) - len(survivors)
    with open(os.path.join(o.folder, "survivors.txt"), "w") as out:
        for c in survivors:
            reached = any(c.number in reached for reached, _ in reach.values())
            out.write(describe(c) + ("" if reached else "   (nothing reaches it)") + "\n")
    print(f"{caught} of {len(changes)} caught, {100 * caught / len(changes):.1f} %, in {(time.monotonic() - began) / 60:.0f} min; seed {o.seed}")
    print(open(os.path.join(o.folder, "survivors.txt")).read(), end="")
    return 0 if caught >= 0.95 * len(changes) else 1


if __name__ == "__main__":
    sys.exit(main())

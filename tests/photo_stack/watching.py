#!/usr/bin/python3
"""What stage 9 of the photo stack makes of logs that may hold anything, and of a backlog that comes and goes. Needs no stack."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples/photo_stack"))

from stack_tool.autoscaler import FEWER_SECONDS, Scaler  # noqa: E402  (the path comes first)
from stack_tool.watch import traces  # noqa: E402

LINE = '[info] span {"trace":"ab","span":"1","name":"GET /","start":1.0,"seconds":0.5,"parts":[{"name":"database","after":0.1,"seconds":0.2}],"user":"a"}'


class Lines(unittest.TestCase):
    def test_a_span_and_its_part(self):
        whole, part = traces.spans_in(LINE, "web1", "web1")
        self.assertEqual((whole.start, whole.end, whole.facts), (1.0, 1.5, {"user": "a"}))
        self.assertEqual((part.parent, part.name, round(part.start, 3)), (whole.id, "database", 1.1))

    def test_a_line_that_was_cut_is_none(self):
        for length in range(len(LINE)):
            self.assertEqual(list(traces.spans_in(LINE[:length], "web1", "web1")), [])

    def test_what_strangers_may_have_written_is_none(self):
        for line in ("span {}", "span [1]", 'span {"trace":"a","span":"b","name":"n","start":"x","seconds":1}', 'span {"trace":"a","span":"b","name":"n","start":1}'):
            self.assertEqual(list(traces.spans_in(line, "web1", "web1")), [])

    def test_children_follow_their_parents_in_time(self):
        spans = [traces.Span("t", name, parent, "h", "p", name, start, 1.0, {})
                 for name, parent, start in (("later", "first", 3), ("inner", "early", 2.5), ("early", "first", 2), ("first", "elsewhere", 1))]
        self.assertEqual([(depth, s.id) for depth, s in traces.in_order(spans)], [(0, "first"), (1, "early"), (2, "inner"), (1, "later")])


class Workers(unittest.TestCase):
    def test_more_at_once_and_fewer_one_by_one(self):
        scaler, running, sizes = Scaler(6), 1, []
        for second, backlog in enumerate([0, 30, 62, 20, 0] + [0] * 5 * FEWER_SECONDS):
            running = scaler.step(float(second), backlog, running)
            sizes.append(running)
        self.assertEqual(sizes[:4], [1, 6, 6, 6])
        self.assertEqual(sizes[-1], 1)
        self.assertTrue(all(0 <= a - b <= 1 for a, b in zip(sizes[3:], sizes[4:])))

    def test_a_backlog_is_never_left_to_nobody(self):
        self.assertEqual([Scaler(6).step(0.0, backlog, 1) for backlog in (0, 1, 5, 6, 1000)], [1, 2, 2, 3, 6])


if __name__ == "__main__":
    unittest.main()

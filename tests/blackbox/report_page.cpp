// The report as a page of its own: no scripts, nothing from elsewhere.
#include <algorithm>
#include <fstream>
#include <ostream>
#include <stdexcept>

#include "tests/blackbox/report.hpp"

namespace millrace::blackbox {
namespace {

constexpr int width = 1000, height = 260, left = 60, bottom = 30;

std::string escaped(const std::string& text) {
    std::string out;
    for (const auto c : text) {
        switch (c) {
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '&': out += "&amp;"; break;
            case '"': out += "&quot;"; break;
            default: out += c;
        }
    }
    return out;
}

/// Where things stand in the picture.
struct axes {
    double seconds;
    double most;

    double x(double second) const { return left + second / seconds * (width - left); }
    double y(double count) const { return (height - bottom) * (1 - count / most); }
};

template <class Count>
void draw_line(std::ostream& out, const axes& a, const std::vector<history::second>& seconds, const char* colour, Count count) {
    out << "<polyline fill=\"none\" stroke=\"" << colour << "\" stroke-width=\"1.5\" points=\"";
    for (std::size_t i = 0; i < seconds.size(); ++i) out << a.x(static_cast<double>(i) + 0.5) << ',' << a.y(static_cast<double>(count(seconds[i]))) << ' ';
    out << "\"/>\n";
}

/// Faults of the broker are bands over the whole height; those of a client host are short ones below, a row for each.
void draw_fault(std::ostream& out, const axes& a, const fault_mark& m) {
    const auto from = a.x(static_cast<double>(m.begun.count()) / 1000);
    const auto to = std::max(from + 1.5, a.x(static_cast<double>(m.ended.count()) / 1000));
    const auto is_broker = m.whom == "broker";
    const auto row = is_broker ? 0 : m.whom.back() - '2';
    const auto top = is_broker ? 0 : height - bottom + 4 + row * 8;
    out << "<rect x=\"" << from << "\" y=\"" << top << "\" width=\"" << to - from << "\" height=\"" << (is_broker ? height - bottom : 6) << "\" fill=\""
        << (is_broker ? "#d33" : "#e90") << "\" opacity=\"" << (is_broker ? 0.25 : 0.8) << "\"><title>" << escaped(m.kind + ", " + m.whom) << ", from "
        << m.begun.count() << " to " << m.ended.count() << " ms</title></rect>\n";
}

void draw(std::ostream& out, const outcome& of) {
    const auto seconds = of.told.seconds();
    std::uint64_t most = 1;
    for (const auto& s : seconds) most = std::max({most, s.published, s.delivered});
    const axes a{std::max(1.0, static_cast<double>(seconds.size())), static_cast<double>(most)};
    out << "<svg viewBox=\"0 0 " << width << ' ' << height << "\" role=\"img\" aria-label=\"messages a second, and faults\">\n";
    for (const auto& m : of.marks) draw_fault(out, a, m);
    draw_line(out, a, seconds, "#27c", [](const history::second& s) { return s.delivered; });
    draw_line(out, a, seconds, "#2a2", [](const history::second& s) { return s.published; });
    draw_line(out, a, seconds, "#a3a", [](const history::second& s) { return s.again; });
    out << "<text x=\"0\" y=\"12\">" << most << "/s</text><text x=\"0\" y=\"" << height - bottom << "\">0</text><text x=\"" << width - 60 << "\" y=\"" << height - bottom - 4
        << "\">" << seconds.size() << " s</text>\n</svg>\n";
}

void write_row(std::ostream& out, const std::string& what, const std::string& value) {
    out << "<tr><td>" << escaped(what) << "</td><td>" << escaped(value) << "</td></tr>\n";
}

void write_faults(std::ostream& out, const outcome& of) {
    out << "<h2>Faults</h2>\n<table><tr><th>kind</th><th>how often</th><th>in all</th><th>publishing again after: in the middle</th><th>at most</th></tr>\n";
    for (const auto& [kind, k] : by_kind(of.marks)) {
        const auto seen = !k.recoveries.empty();
        out << "<tr><td>" << escaped(kind) << "</td><td>" << k.count << "</td><td>" << k.lasted.count() << " ms</td><td>"
            << (seen ? std::to_string(k.recoveries[k.recoveries.size() / 2].count()) + " ms" : "–") << "</td><td>"
            << (seen ? std::to_string(k.recoveries.back().count()) + " ms" : "–") << "</td></tr>\n";
    }
    out << "</table>\n<p>Counted from the end of a fault until those whom it struck had a publish answered, where nothing else struck them meanwhile.</p>\n";
}

constexpr const char* head = R"(<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Millrace: black box</title><style>
body{font:15px/1.4 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse}
td,th{text-align:left;padding:.15em 1em .15em 0;border-bottom:1px solid #ddd}svg{width:100%;font-size:11px;background:#fafafa}.bad{color:#b00}
</style></head><body>
)";

}  // namespace

void write_page(const std::string& path, const outcome& of) {
    std::ofstream out(path);
    const auto s = of.told.sums();
    const auto violations = of.told.violations();
    out << head << "<h1>Black box, seed " << of.seed << "</h1>\n<p" << (violations.empty() ? ">" : " class=\"bad\">") << of.told.age().count() / 1000 << " s, "
        << of.marks.size() << " faults, <b>" << violations.size() << " violations</b>.</p>\n";
    for (const auto& v : violations) out << "<p class=\"bad\">" << escaped(v) << "</p>\n";
    out << "<p>Messages a second: published (green), delivered (blue), of them again (purple). Red: a fault of the broker or its disk; orange, a row each: of a client "
           "host.</p>\n";
    draw(out, of);
    out << "<table>\n";
    for (const auto& [what, value] : figures(of)) write_row(out, what, value);
    out << "</table>\n";
    write_faults(out, of);
    out << "<h2>Refusals</h2>\n<table>\n";
    for (const auto& [why, count] : s.refusals) write_row(out, why, std::to_string(count));
    out << "</table>\n</body></html>\n";
    if (!out.flush()) throw std::runtime_error("the report cannot be written to " + path);
}

}  // namespace millrace::blackbox

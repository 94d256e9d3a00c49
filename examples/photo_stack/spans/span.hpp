// A span: what one process does for one request, and how long that takes. All spans of a request have its trace's id, which travels with it as the header
// `traceparent` (W3C Trace Context) of HTTP requests and of messages. Each becomes a line of its process's log, once it has ended:
//
//   span {"trace":"4bf92f35…","span":"00f067aa…","parent":"b7ad6b71…","name":"GET /photos/:","start":1764430000.123456,"seconds":0.012300,
//         "parts":[{"name":"database","after":0.000400,"seconds":0.001200}],"status":"200"}
//
// `stack trace` puts the lines of one trace together again.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace photo_spans {

/// What a span's children know of it.
struct span_context {
    std::string trace;  // 32 hexadecimal digits, small ones, not all 0
    std::string span;   // 16 of them

    bool operator==(const span_context&) const = default;
};

/// Nothing when that is not version 00 of the header.
std::optional<span_context> parse_traceparent(std::string_view header);

std::string traceparent(const span_context& context);

/// It reads the clocks itself. One thread at a time.
class span {
public:
    using clock = std::chrono::steady_clock;

    /// Begins now, as the first one of a new trace.
    span();

    /// It is a child of that one.
    void continue_trace(const span_context& parent);

    const span_context& context() const { return own_; }

    /// Something within it that somebody else was waited for, which has just ended.
    void add_part(std::string_view name, clock::time_point begun);

    clock::time_point begun() const { return begun_; }

    /// It ends now. `facts`: what else is worth to be known, by name.
    std::string line(std::string_view name, const std::vector<std::pair<std::string_view, std::string>>& facts) const;

private:
    struct part {
        std::string name;
        clock::time_point begun, ended;
    };

    span_context own_;
    std::string parent_;  // empty: none
    std::chrono::system_clock::time_point wall_begun_ = std::chrono::system_clock::now();
    clock::time_point begun_ = clock::now();
    std::vector<part> parts_;
};

}  // namespace photo_spans

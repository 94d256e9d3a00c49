// The trace that a message of Millrace belongs to: as in HTTP, its header `traceparent`.
#pragma once

#include <optional>

#include "examples/photo_stack/spans/span.hpp"
#include "millrace/message.hpp"

namespace photo_spans {

inline std::optional<span_context> trace_of(const millrace::message& m) {
    for (const auto& h : m.headers)
        if (h.name == "traceparent") return parse_traceparent(h.value);
    return std::nullopt;
}

inline void set_trace(millrace::message& m, const span_context& context) { m.headers.push_back({"traceparent", traceparent(context)}); }

}  // namespace photo_spans

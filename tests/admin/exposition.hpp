// Prometheus' text format (version 0.0.4), read as strictly as it is specified: what a test looks at has passed the format first.
#pragma once

#include <map>
#include <string>

namespace millrace {

/// Values by series, as they are written: `millrace_sessions`, `millrace_topic_messages{topic="photos"}`.
using series_values = std::map<std::string, double>;

/// Throws std::runtime_error with the line that is wrong: names, labels, escapes, values; each family once, HELP and TYPE before its samples and its
/// samples together; no series twice; counters that end in _total and are not negative; histograms with ascending, cumulative buckets up to +Inf,
/// a count that equals it and a sum.
series_values parse_exposition(const std::string& text);

/// The value of a series. Throws when it is not there.
double value_of(const series_values& all, const std::string& series);

}  // namespace millrace

// Durations and sizes as people write them.
#include "millrace/units.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {

void units(input in) {
    const auto text = text_of(in);
    if (const auto duration = parse_duration(text)) {
        must(duration.value().count() >= 0, "no duration is negative");
        const auto written = format_duration(duration.value());
        const auto again = parse_duration(written);
        must(again && again.value() == duration.value(), "a duration reads as it was written", written);
        must(format_duration(again.value()) == written, "there is one way to write it", written);
    } else {
        must(duration.failure().code == errc::invalid_argument && duration.failure().what.find(text) != std::string::npos, "who refuses says what");
    }
    if (const auto size = parse_size(text)) {
        must(size.value() <= std::uint64_t{INT64_MAX}, "a size can be counted with");
        const auto written = format_size(size.value());
        const auto again = parse_size(written);
        must(again && again.value() == size.value(), "a size reads as it was written", written);
    } else {
        must(size.failure().code == errc::invalid_argument && size.failure().what.find(text) != std::string::npos, "who refuses says what");
    }
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(units)

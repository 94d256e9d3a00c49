// What must hold, holds in production too: a broken invariant ends the process with the numbers, before it can damage more.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace millrace::core {

inline void invariant(bool holds, const char* what, std::uint64_t a = 0, std::uint64_t b = 0,
                      std::source_location where = std::source_location::current()) {
    if (holds) [[likely]]
        return;
    std::fprintf(stderr, "millrace: broken invariant: %s (%llu, %llu) at %s:%u\n", what, static_cast<unsigned long long>(a),
                 static_cast<unsigned long long>(b), where.file_name(), static_cast<unsigned>(where.line()));
    std::abort();
}

}  // namespace millrace::core

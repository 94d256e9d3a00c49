// What every fuzz target is made of: bytes that somebody chose, read as decisions, and promises that must hold whatever they were.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/error.hpp"

namespace millrace::fuzz {

using input = std::span<const std::uint8_t>;

[[noreturn]] inline void broken(std::string_view promise, std::string_view seen) {
    std::fprintf(stderr, "broken promise: %s (%s)\n", std::string(promise).c_str(), std::string(seen).c_str());
    std::abort();
}

/// Aborts with the promise's words unless it holds: what a fuzzer calls a finding. `seen` is text, or an error.
inline void must(bool holds, std::string_view promise, std::string_view seen = {}) {
    if (!holds) [[unlikely]]
        broken(promise, seen);
}
inline void must(bool holds, std::string_view promise, const error& seen) {
    if (!holds) [[unlikely]]
        broken(promise, to_string(seen));
}

inline std::span<const std::byte> bytes_of(input in) { return std::as_bytes(in); }
inline std::string_view text_of(input in) { return {reinterpret_cast<const char*>(in.data()), in.size()}; }

/// The input as decisions, from its front. Once it has ended, every decision is the least there is.
class choices {
public:
    explicit choices(input in) : rest_(in) {}

    bool ended() const { return rest_.empty(); }
    input rest() const { return rest_; }

    std::uint8_t byte() {
        if (rest_.empty()) return 0;
        const auto b = rest_.front();
        rest_ = rest_.subspan(1);
        return b;
    }

    /// Below `n`, which is at least 1; takes as many bytes as such a number has.
    std::uint64_t below(std::uint64_t n) {
        std::uint64_t value = 0;
        for (auto most = n - 1; most > 0; most >>= 8) value = value << 8 | byte();
        return value % n;
    }

    bool one_in(std::uint64_t n) { return below(n) == n - 1; }

    /// Mostly small, sometimes at the ends of what 64 bits hold.
    std::uint64_t number() {
        const auto b = byte();
        if (b < 224) return b % 32;
        if (b < 240) return below(1u << 20);
        if (b < 248) return ~std::uint64_t{0} - below(4);
        return below(~std::uint64_t{0});
    }

    /// At most `most` bytes: a length, then these.
    input bytes(std::size_t most) {
        const auto wanted = below(most + 1);
        const auto count = std::min<std::size_t>(wanted, rest_.size());
        const auto taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }
    std::string text(std::size_t most) { return std::string(text_of(bytes(most))); }

private:
    input rest_;
};

/// For the replay, which has all targets in one program: name → what it does with an input.
struct target {
    const char* name;
    void (*run)(input);
};
std::vector<target>& targets();

struct registered {
    registered(const char* name, void (*run)(input)) { targets().push_back({name, run}); }
};

}  // namespace millrace::fuzz

// Once in each target's file, behind `namespace millrace::fuzz { void NAME(input); }`.
#ifdef MILLRACE_FUZZ
#define MILLRACE_FUZZ_TARGET(NAME)                                                       \
    extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
        millrace::fuzz::NAME({data, size});                                              \
        return 0;                                                                        \
    }
#else
#define MILLRACE_FUZZ_TARGET(NAME) static const millrace::fuzz::registered NAME##_registered(#NAME, millrace::fuzz::NAME);
#endif

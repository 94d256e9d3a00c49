// The last events of a run, cheap to note and printed only when a promise is broken.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "millrace/message.hpp"

namespace millrace::sim {

class trace {
public:
    explicit trace(std::size_t kept) : events_(kept) {}

    /// `names` is a literal such as "deliver session subscription first"; the numbers follow its words after the first.
    template <class... Numbers>
    void note(timestamp when, const char* names, Numbers... numbers) {
        static_assert(sizeof...(numbers) <= 7);
        auto& e = events_[next_++ % events_.size()];
        e = {when, names, {static_cast<std::uint64_t>(numbers)...}, sizeof...(numbers)};
        mix(static_cast<std::uint64_t>(when.time_since_epoch().count()));
        for (std::size_t i = 0; i < e.count; ++i) mix(e.numbers[i]);
    }

    /// Of everything noted: two runs with the same one were the same.
    std::uint64_t fingerprint() const { return fingerprint_; }

    void print(std::FILE* out) const {
        const auto first = next_ > events_.size() ? next_ - events_.size() : 0;
        for (auto i = first; i < next_; ++i) {
            const auto& e = events_[i % events_.size()];
            const auto micros = e.when.time_since_epoch().count() % 1'000'000'000;
            std::fprintf(out, "%10.6f ", static_cast<double>(micros) / 1e6);
            const char* word = e.names;
            for (std::size_t n = 0; *word != '\0'; ++n) {
                const char* end = word;
                while (*end != ' ' && *end != '\0') ++end;
                std::fprintf(out, "%.*s", static_cast<int>(end - word), word);
                if (n > 0 && n - 1 < e.count) std::fprintf(out, "=%llu", static_cast<unsigned long long>(e.numbers[n - 1]));
                std::fputc(' ', out);
                word = *end == ' ' ? end + 1 : end;
            }
            std::fputc('\n', out);
        }
    }

private:
    struct event {
        timestamp when;
        const char* names = "";
        std::array<std::uint64_t, 7> numbers{};
        std::size_t count = 0;
    };

    void mix(std::uint64_t value) { fingerprint_ = (fingerprint_ ^ value) * 0x100000001b3; }

    std::vector<event> events_;
    std::uint64_t next_ = 0;
    std::uint64_t fingerprint_ = 0xcbf29ce484222325;
};

}  // namespace millrace::sim

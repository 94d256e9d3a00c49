// Holds a closed store against itself: whether its rows can be read, whether they agree with each other and with the entries, and whether every message
// of every subscription is in exactly one state. What can be derived again is derived; what cannot is named.
//
//   rows ───► catalog ──► entries of each partition ──► progress of each subscription ──► producers
//               │               │                             │                              │
//               └───────────────┴──────── findings, each with its remedy ────────────────────┘──► repair: one commit, and looked at again
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "broker/storage/store.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::check {

/// Where something is wrong; what does not apply is empty.
struct place {
    std::string topic{};
    std::optional<std::uint32_t> partition{};
    std::string subscription{};
    std::optional<sequence> first{};
    std::optional<sequence> last{};

    bool operator==(const place&) const = default;
};

struct finding {
    place where;
    std::string what;
    std::string remedy;     // what --repair does about it; empty: it cannot, and a backup must be restored
    bool repaired = false;  // it has been done

    bool operator==(const finding&) const = default;
};

/// "topic 'photos', partition 0, subscription 'resize', messages 3 to 7"
std::string to_string(const place& where);

/// The same, and what is wrong there, and its remedy.
std::string to_string(const finding& f);

struct report {
    std::vector<finding> findings;  // in the order in which they were made; when repairing, also those of looking again
    std::vector<std::string> notes;  // nothing is wrong, but somebody may want to know
    std::uint64_t topics = 0;
    std::uint64_t subscriptions = 0;
    std::uint64_t entries = 0;
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;

    /// Nothing is wrong, or not any more.
    bool sound() const;
};

/// Examines a store that nobody else has open, and with `repair` puts right what can be. Errors: those of the store, where they keep it from being examined.
result<report> examine(storage::store& store, bool repair);

struct check_request {
    std::filesystem::path directory;
    bool repair = false;
    bool salvage = false;                                                   // as millraced's
    std::function<void(const std::string&)> tell = [](const std::string&) {};  // is told, line by line, what salvage gave up
};

/// The same for the store in a directory. Errors: store_in_use, storage_failure (nothing there, or no store of this format), corruption (its log is
/// damaged; names file and offset).
result<report> check_directory(const check_request& request);

}  // namespace millrace::check

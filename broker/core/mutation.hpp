// What a group commit does to the store. The core decides; the driver adds the payload bytes; an engine applies, all or nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "broker/core/entry_index.hpp"
#include "broker/core/identity.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

/// The bytes of an entry; shared by the store while it commits, the tail cache and the sockets.
using entry_bytes = std::shared_ptr<const std::vector<std::byte>>;

/// Rows are small values under ordered byte keys; row.hpp makes both.
struct row {
    std::string key;
    std::string value;

    bool operator==(const row&) const = default;
};

/// Keys from `begin` to before `end`, in byte order.
struct row_range {
    std::string begin;
    std::string end;

    bool operator==(const row_range&) const = default;
};

/// Put once under (partition, last), never overwritten. The core leaves `bytes` empty and never reads them; the driver fills them in.
/// An engine stores `bytes` and does not look at `index`.
struct append_entry {
    partition_id partition;
    sequence first;
    sequence last;
    entry_bytes bytes{};
    shared_index index{};
};

/// Frees one entry that was appended once; it is named by its last sequence.
struct free_entry {
    partition_id partition;
    sequence last;
};

/// Frees every entry of a partition whose topic is deleted: its id never comes back.
struct drop_partition {
    partition_id partition;
};

struct put_row {
    std::string key;
    std::string value;
};

struct erase_row {
    std::string key;
};

/// Erases every row of a range whose ids never come back (a deleted subscription).
struct erase_rows {
    row_range range;
};

/// Applied in order. One group never both appends and frees the same entry, and names each row at most once outside of erase_rows.
using mutation = std::variant<append_entry, free_entry, drop_partition, put_row, erase_row, erase_rows>;

}  // namespace millrace::core

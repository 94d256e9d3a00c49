// Private: what RocksDB says, in our words.
#pragma once

#include <rocksdb/status.h>

#include <string>

#include "millrace/error.hpp"

namespace millrace::storage {

/// corruption, disk_full or storage_failure, and `doing` what.
inline error error_of(const rocksdb::Status& status, const std::string& doing) {
    if (status.ok()) {
        return {};
    }
    const auto code = status.IsCorruption() ? errc::corruption : status.IsNoSpace() ? errc::disk_full : errc::storage_failure;
    return {code, doing + ": " + status.ToString()};
}

}  // namespace millrace::storage

// Private: the disk under the store: what is free, what must stay free, and the ballast, a preallocated file that is given up when the disk is so full
// that even acks would fail. Drawn in README.md, "A full disk".
//
// Threads: all from any, at once.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "broker/storage/rocksdb_log_spares.hpp"
#include "broker/storage/rocksdb_store.hpp"

namespace millrace::storage {

/// The file system that `options` name: the local one when none.
std::shared_ptr<rocksdb::FileSystem> files_of(const rocksdb_options& options);

/// `options` with what a small disk cannot carry made smaller, and with a reserve. The room is what is free and what `options.directory` holds
/// already, so it does not depend on how full the store is. A file system that does not say what is free leaves all as it is.
rocksdb_options fit_to_disk(rocksdb_options options);

class rocksdb_disk {
public:
    /// `fitted` comes from fit_to_disk(). Touches nothing yet.
    explicit rocksdb_disk(const rocksdb_options& fitted);

    /// Spare logs are as good as free.
    std::optional<disk_space> space() const;

    /// Free bytes as they are, a ballast that is missing not subtracted; all there could be when the file system does not say.
    std::uint64_t free_bytes() const;

    /// Whether space is given back at once, at whatever price: it is not far to the reserve.
    bool is_scarce() const;

    log_spares& spares() { return spares_; }

    /// Has spare logs while the disk is not scarce. Gives the ballast up when the next log and what is in memory, `unwritten` bytes, might not fit; makes it when
    /// there is room for it. REQUIRES: the store is open.
    void tend(std::uint64_t unwritten);

    /// Gives the spare logs and the ballast up, if they are there. Whether so many bytes are free then, whoever made room. REQUIRES: no other process has the
    /// store open.
    bool make_room(std::uint64_t bytes);

private:
    void make_ballast();
    void give_up_ballast();
    std::uint64_t reserve() const { return *options_.disk_reserve; }

    const rocksdb_options options_;
    const std::shared_ptr<rocksdb::FileSystem> files_;
    const std::string ballast_;
    log_spares spares_;
    std::mutex ballast_mutex_;
    std::atomic<bool> has_ballast_{false};
    std::atomic<bool> can_preallocate_{true};  // until shown otherwise
};

}  // namespace millrace::storage

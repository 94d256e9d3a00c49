// Private: the files of dead logs, kept to be written over by the next ones.
//
//   000012.log ──dead──► 000012.log.spare ──► 000019.log
//
// To make a log of 32 MiB, let it grow and delete it again costs more than to write over one that is there: blocks are found, written down and given back,
// all in the file system's journal, which the syncs of the other logs wait for.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace millrace::storage {

/// Of one store. Threads: all from any, at once.
class log_spares {
public:
    struct spare {
        std::string path;
        std::uint64_t bytes = 0;
    };

    /// None is kept until they are admitted.
    log_spares(std::shared_ptr<rocksdb::FileSystem> files, std::string directory);

    log_spares(const log_spares&) = delete;
    log_spares& operator=(const log_spares&) = delete;

    /// Whether the disk has room for spares. When not, those that there are go.
    void admit(bool has_room);

    /// Deletes what an earlier process left: the numbers of its last logs may come again when their names were lost with the power, and then what lies in
    /// there would be taken for what is written. REQUIRES: the store is open, and no spare is kept yet.
    void drop_leftovers();

    /// Takes a dead log of the store away, durably, so that its name leads nowhere when it is written over; keeps it or deletes it. NotSupported:
    /// nothing is done, for there are enough, or it cannot be kept: it is empty, or also a checkpoint's, by another name.
    rocksdb::IOStatus keep(const std::string& log);

    /// One for the log at this path, and not kept any longer; none for a log that is not the store's.
    std::optional<spare> take_for(const std::string& log);

    void drop();

    /// That drop() would free.
    std::uint64_t bytes() const;

private:
    bool can_keep(const std::string& log);
    bool add(spare kept);

    const std::shared_ptr<rocksdb::FileSystem> files_;
    const std::string directory_;
    mutable std::mutex mutex_;
    bool admitted_ = false;
    std::vector<spare> kept_;
};

}  // namespace millrace::storage

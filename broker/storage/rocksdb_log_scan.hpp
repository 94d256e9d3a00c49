// Private: reads the write-ahead logs of a closed store before RocksDB replays them, to tell damage from a torn tail.
//
//   log file    | batch | batch | ####### | batch | batch | ...... (torn)
//   sequences     1..5    6..9   (10..14)   15..18   19..22
//   marks                                            "14 was synced"   ◄── proof: what is unreadable had been answered
//
// RocksDB cuts a log at its first bad record, and with it every valid batch behind: right for a torn tail, whose groups nobody was answered, and
// silent loss for a flipped bit. So every batch of this engine begins with a mark that says up to which RocksDB sequence the log was known to be
// synced when the batch was written. A bad spot is damage when a later mark of the same process covers what should have stood there, or when the tables
// hold what came behind it: RocksDB syncs the logs before it writes that into a table. Without either it is a torn tail, also if valid pages follow that
// reached the disk out of order.
#pragma once

#include <rocksdb/file_system.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/error.hpp"

namespace millrace::storage {

/// Stands first in a batch, as WriteBatch::PutLogData: in the log alone, and in no memtable.
struct synced_mark {
    std::uint64_t incarnation = 0;  // of the database: one opening, one value; nobody who only publishes can guess it
    std::uint64_t first_log = 0;    // number of the first log that it wrote
    std::uint64_t sequence = 0;     // everything up to this one was synced

    bool operator==(const synced_mark&) const = default;
};

inline constexpr std::size_t synced_mark_bytes = 28;
std::array<char, synced_mark_bytes> encode(const synced_mark& mark);

/// False when `bytes` is no mark.
bool parse_mark(std::string_view bytes, synced_mark& out);

/// Where a log does not go on as it should.
struct bad_spot {
    std::uint64_t log = 0;     // number of the file
    std::uint64_t offset = 0;  // of the batch that should be there
    std::uint64_t bytes = 0;   // unreadable; 0: nothing is between two batches that are not neighbours
    std::uint64_t before = 0;  // last sequence of the batch in front of it in the file; 0: there is none
    std::uint64_t before_in = 0, before_there = 0;  // where there is none: the log in front of it that has one, and its last sequence
    std::uint64_t after = 0;   // first sequence of the next valid batch; 0: there is none
    bool ends_log = false;     // it reaches to the end of its file
    bool is_followed = false;  // by a valid batch that this process's logs hold
    bool was_synced = false;   // proven: what was there had been answered

    /// Whether a process whose logs begin with `first_log`, and that had synced up to `sequence`, had synced what is missing here.
    bool is_covered(std::uint64_t first_log, std::uint64_t sequence) const;
};

struct log_findings {
    std::vector<bad_spot> spots;                       // in order
    std::vector<std::pair<std::uint64_t, std::uint64_t>> logs;  // file number → first_log of its marks, 0 without one

    /// The first spot that is damage; nullptr when there is none.
    const bad_spot* damage() const;

    /// The tables hold what was written up to this RocksDB sequence.
    void believe_tables(std::uint64_t sequence);
};

/// Reads every log of the closed store in `directory`. Errors: storage_failure.
result<log_findings> scan_logs(rocksdb::FileSystem& files, const std::string& directory);

/// Cuts the first torn spot that valid batches follow, and all behind it that the same process wrote: RocksDB would not notice a hole that ends
/// where a block begins. Cuts what ends every log but the last one as well: RocksDB does not open behind it when a family, though empty, has gone on to a
/// later log. REQUIRES !findings.damage(), and that the store is locked. Errors: storage_failure.
error cut_torn_tail(rocksdb::FileSystem& files, const std::string& directory, const log_findings& findings);

/// Writes every log that has a bad spot anew, with all its valid batches; keeps the old one as "000012.log.damaged". (RocksDB's own way,
/// kSkipAnyCorruptedRecords, gives up the rest of the block as well, and in 7.8 refuses what follows a batch that it dropped half way.)
/// REQUIRES that the store is locked. Errors: storage_failure.
error salvage_logs(rocksdb::FileSystem& files, const std::string& directory, const log_findings& findings);

/// How a file in the log's format, as the manifest is, begins.
struct sound_front {
    std::uint64_t bytes = 0;  // of valid records; 0 also of a file that is not there
    bool is_all = true;       // behind them is nothing but zeros, or a record that goes on behind the file's end
};
sound_front front_of(rocksdb::FileSystem& files, const std::string& path);

}  // namespace millrace::storage

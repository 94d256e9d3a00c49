// A disk in memory, as rocksdb::FileSystem, that loses power: at a chosen operation on a file everything stops, and the machine starts again with what had
// reached the platter.
//
//   synced bytes                    stay
//   bytes that no sync covered      none, all, a front cut at any byte or at a sector, or pages here and there with zeros between them
//   written over synced bytes       of each page one of its versions since the sync; or a front of the writes, the last torn at a sector
//   names (made, renamed, deleted)  as at the last sync of the directory, plus a front of what came after, or any part of it; those of synced files
//   a sync that failed              loses what it should have covered; later ones do not bring it back, as on Linux
//
// What it leaves out: a disk that lies about a sync, and synced bytes that change. Those are flipped by hand: bytes_of().
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/random.hpp"

namespace millrace::power {

/// What a cut takes: of a machine whatever no sync covered, of a killed process only what it had not handed over.
enum class cut_kind { power, process };

class power_disk final : public rocksdb::FileSystem {
public:
    explicit power_disk(std::uint64_t seed);
    ~power_disk() override;

    /// The power goes before, in the middle of, or after the operation that comes as number `operations` from now; 1 is the next.
    void cut_after(std::uint64_t operations);
    /// That operation fails instead, once: a write half way, a sync losing what it should have covered.
    void fail_after(std::uint64_t operations);
    void disarm();

    void cut(cut_kind kind);
    bool has_power() const;

    /// Whether a planned failure has struck since this was last asked.
    bool took_failure();

    /// REQUIRES !has_power(), and that whatever had files open is gone.
    void restart();

    /// Operations that a cut can fall on, so far.
    std::uint64_t operations() const;

    /// Files that were written over under another name, so far.
    std::uint64_t reused() const;

    std::vector<std::string> names() const;
    /// Of a file as a program would read it now. To be changed with no store open.
    std::string& bytes_of(const std::string& name);
    /// A disk with the same files, all of them synced.
    std::shared_ptr<power_disk> copy(std::uint64_t seed) const;

    const char* Name() const override { return "power_disk"; }
    using IO = rocksdb::IOStatus;
    IO NewSequentialFile(const std::string& name, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSSequentialFile>* file, rocksdb::IODebugContext*) override;
    IO NewRandomAccessFile(const std::string& name, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSRandomAccessFile>* file, rocksdb::IODebugContext*) override;
    IO NewWritableFile(const std::string& name, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext*) override;
    IO ReopenWritableFile(const std::string& name, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext*) override;
    IO ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext*) override;
    IO NewDirectory(const std::string& name, const rocksdb::IOOptions&, std::unique_ptr<rocksdb::FSDirectory>* directory, rocksdb::IODebugContext*) override;
    IO FileExists(const std::string& name, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO GetChildren(const std::string& directory, const rocksdb::IOOptions&, std::vector<std::string>* found, rocksdb::IODebugContext*) override;
    IO DeleteFile(const std::string& name, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO CreateDir(const std::string& name, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO CreateDirIfMissing(const std::string& name, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO DeleteDir(const std::string& name, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO GetFileSize(const std::string& name, const rocksdb::IOOptions&, std::uint64_t* size, rocksdb::IODebugContext*) override;
    IO GetFileModificationTime(const std::string& name, const rocksdb::IOOptions&, std::uint64_t* time, rocksdb::IODebugContext*) override;
    IO RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO LinkFile(const std::string& from, const std::string& to, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO NumFileLinks(const std::string& name, const rocksdb::IOOptions&, std::uint64_t* count, rocksdb::IODebugContext*) override;
    IO Truncate(const std::string& name, std::size_t size, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO LockFile(const std::string& name, const rocksdb::IOOptions&, rocksdb::FileLock** lock, rocksdb::IODebugContext*) override;
    IO UnlockFile(rocksdb::FileLock* lock, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    IO GetTestDirectory(const rocksdb::IOOptions&, std::string* path, rocksdb::IODebugContext*) override;
    IO GetAbsolutePath(const std::string& path, const rocksdb::IOOptions&, std::string* absolute, rocksdb::IODebugContext*) override;
    IO IsDirectory(const std::string& path, const rocksdb::IOOptions&, bool* is, rocksdb::IODebugContext*) override;
    IO GetFreeSpace(const std::string& path, const rocksdb::IOOptions&, std::uint64_t* free, rocksdb::IODebugContext*) override;

    struct platter;

private:
    std::shared_ptr<platter> platter_;  // outlives the disk as long as a file of it is open
};

}  // namespace millrace::power

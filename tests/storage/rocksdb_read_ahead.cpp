// What is asked of the file system ahead of readers.
#include "broker/storage/rocksdb_read_ahead.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;

constexpr std::uint64_t kibibyte = 1024;

struct range {
    std::uint64_t begin, bytes;
    bool operator==(const range&) const = default;
};
std::ostream& operator<<(std::ostream& out, const range& r) { return out << r.begin << " + " << r.bytes; }

using ranges = std::vector<range>;

/// What was asked for ahead, by file.
class asked_ahead {
public:
    void note(const std::string& path, range wanted) {
        std::lock_guard lock(mutex_);
        asked_[path].push_back(wanted);
    }
    std::map<std::string, ranges> take() {
        std::lock_guard lock(mutex_);
        return std::exchange(asked_, {});
    }

private:
    std::mutex mutex_;
    std::map<std::string, ranges> asked_;
};

class watched_file final : public rocksdb::FSRandomAccessFileOwnerWrapper {
public:
    watched_file(std::unique_ptr<rocksdb::FSRandomAccessFile> file, std::string path, asked_ahead& asked)
        : FSRandomAccessFileOwnerWrapper(std::move(file)), path_(std::move(path)), asked_(asked) {}

    IO Prefetch(std::uint64_t offset, std::size_t size, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        asked_.note(path_, {offset, size});
        return target()->Prefetch(offset, size, options, debug);
    }

private:
    const std::string path_;
    asked_ahead& asked_;
};

class watched_files final : public rocksdb::FileSystemWrapper {
public:
    explicit watched_files(asked_ahead& asked) : FileSystemWrapper(rocksdb::FileSystem::Default()), asked_(asked) {}
    const char* Name() const override { return "watched"; }

    IO NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSRandomAccessFile>* opened,
                           rocksdb::IODebugContext* debug) override {
        auto status = target()->NewRandomAccessFile(path, options, opened, debug);
        if (status.ok()) {
            *opened = std::make_unique<watched_file>(std::move(*opened), path, asked_);
        }
        return status;
    }

private:
    asked_ahead& asked_;
};

/// One file of 8 MiB, read ahead.
class file_fixture {
public:
    explicit file_fixture(const std::string& name = "000012.blob") {
        const auto path = scratch_.path() / name;
        std::ofstream(path) << std::string(8192 * kibibyte, 'x');
        REQUIRE(files_->NewRandomAccessFile(path.string(), {}, &file_, nullptr).ok());
    }

    /// What is asked for ahead of it.
    ranges read(std::uint64_t begin, std::uint64_t bytes) {
        std::string scratch(bytes, '\0');
        rocksdb::Slice found;
        REQUIRE(file_->Read(begin, bytes, {}, &found, scratch.data(), nullptr).ok());
        CHECK(found.size() == bytes);
        auto asked = asked_.take();
        return asked.empty() ? ranges{} : asked.begin()->second;
    }

private:
    scratch_directory scratch_;
    asked_ahead asked_;
    std::shared_ptr<rocksdb::FileSystem> files_ = reading_ahead(std::make_shared<watched_files>(asked_));
    std::unique_ptr<rocksdb::FSRandomAccessFile> file_;
};

TEST_CASE("who reads in order is read ahead of by half a MiB, in two steps, and nothing twice") {
    file_fixture file;
    CHECK(file.read(0, 100 * kibibyte).empty());  // this may be all
    CHECK(file.read(100 * kibibyte, 28 * kibibyte) == ranges{{128 * kibibyte, 512 * kibibyte}});
    CHECK(file.read(128 * kibibyte, 255 * kibibyte).empty());
    CHECK(file.read(383 * kibibyte, kibibyte) == ranges{{640 * kibibyte, 256 * kibibyte}});
    // Beyond all that was asked for: what the read itself brings is not asked for again.
    CHECK(file.read(384 * kibibyte, 1024 * kibibyte) == ranges{{1408 * kibibyte, 512 * kibibyte}});
}

TEST_CASE("what is left out between two reads in order may be 64 KiB") {
    file_fixture file;
    CHECK(file.read(0, kibibyte).empty());
    CHECK(file.read(65 * kibibyte, kibibyte) == ranges{{66 * kibibyte, 512 * kibibyte}});
    CHECK(file.read(131 * kibibyte, kibibyte).empty());
    CHECK(file.read(0, kibibyte).empty());  // back again
    CHECK(file.read(0, kibibyte).empty());
}

TEST_CASE("four readers of a file are read ahead of, each where it is") {
    file_fixture file;
    for (std::uint64_t reader = 0; reader < 4; ++reader) CHECK(file.read(reader * 2048 * kibibyte, kibibyte).empty());
    for (std::uint64_t reader = 0; reader < 4; ++reader)
        CHECK(file.read((reader * 2048 + 1) * kibibyte, kibibyte) == ranges{{(reader * 2048 + 2) * kibibyte, 512 * kibibyte}});
    CHECK(file.read(1024 * kibibyte, kibibyte).empty());  // a fifth takes the place of the first
    CHECK(file.read(1025 * kibibyte, kibibyte) == ranges{{1026 * kibibyte, 512 * kibibyte}});
    CHECK(file.read(2 * kibibyte, kibibyte).empty());
}

TEST_CASE("no other files are read ahead than those of payload") {
    file_fixture file("000012.sst");
    CHECK(file.read(0, kibibyte).empty());
    CHECK(file.read(kibibyte, kibibyte).empty());
}

}  // namespace

TEST_CASE("a backlog that is read in order is read ahead") {
    asked_ahead asked;
    scratch_directory scratch;
    auto options = options_for(scratch.path() / "store");
    options.file_system = std::make_shared<watched_files>(asked);
    const auto p = partition(1);
    {
        const auto opened = open_or_fail(options);
        const auto epoch = open_shard(*opened);
        for (std::uint64_t i = 0; i < 100; ++i) {
            REQUIRE_FALSE(commit(*opened, epoch, {append(p, i, i, std::string(100'000, 'x'))}));
        }
    }
    const auto opened = open_or_fail(options);
    asked.take();
    CHECK(read_texts(*opened, p).size() == 100);
    const auto found = asked.take();
    std::uint64_t bytes = 0;
    for (const auto& [path, wanted] : found) {
        CHECK(path.ends_with(".blob"));
        for (const auto& w : wanted) {
            bytes += w.bytes;
        }
    }
    CHECK(bytes > 9'000'000);
}

}  // namespace millrace::storage

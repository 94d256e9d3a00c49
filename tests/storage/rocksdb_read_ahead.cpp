// What is asked of the file system ahead of readers.
#include "broker/storage/rocksdb_read_ahead.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
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

/// What was asked for ahead, or given back, by file.
class noted_ranges {
public:
    void note(const std::string& path, range wanted) {
        std::lock_guard lock(mutex_);
        noted_[path].push_back(wanted);
    }
    std::map<std::string, ranges> take() {
        std::lock_guard lock(mutex_);
        return std::exchange(noted_, {});
    }

private:
    std::mutex mutex_;
    std::map<std::string, ranges> noted_;
};

struct page_cache {
    noted_ranges asked, given_back;
};

class watched_file final : public rocksdb::FSRandomAccessFileOwnerWrapper {
public:
    watched_file(std::unique_ptr<rocksdb::FSRandomAccessFile> file, std::string path, page_cache& pages)
        : FSRandomAccessFileOwnerWrapper(std::move(file)), path_(std::move(path)), pages_(pages) {}

    IO Prefetch(std::uint64_t offset, std::size_t size, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        pages_.asked.note(path_, {offset, size});
        return target()->Prefetch(offset, size, options, debug);
    }
    IO InvalidateCache(std::size_t offset, std::size_t size) override {
        pages_.given_back.note(path_, {offset, size});
        return target()->InvalidateCache(offset, size);
    }

private:
    const std::string path_;
    page_cache& pages_;
};

class watched_files final : public rocksdb::FileSystemWrapper {
public:
    explicit watched_files(page_cache& pages) : FileSystemWrapper(rocksdb::FileSystem::Default()), pages_(pages) {}
    const char* Name() const override { return "watched"; }

    IO NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSRandomAccessFile>* opened,
                           rocksdb::IODebugContext* debug) override {
        auto status = target()->NewRandomAccessFile(path, options, opened, debug);
        if (status.ok()) {
            *opened = std::make_unique<watched_file>(std::move(*opened), path, pages_);
        }
        return status;
    }

private:
    page_cache& pages_;
};

/// A file of holes, 8 MiB or `bytes`, on `files`.
std::unique_ptr<rocksdb::FSRandomAccessFile> open_file(rocksdb::FileSystem& files, const std::filesystem::path& path, std::uint64_t bytes = 8192 * kibibyte) {
    std::ofstream{path};
    std::filesystem::resize_file(path, bytes);
    std::unique_ptr<rocksdb::FSRandomAccessFile> opened;
    REQUIRE(files.NewRandomAccessFile(path.string(), {}, &opened, nullptr).ok());
    return opened;
}

void read_from(rocksdb::FSRandomAccessFile& file, std::uint64_t begin, std::uint64_t bytes) {
    std::string scratch(bytes, '\0');
    rocksdb::Slice found;
    REQUIRE(file.Read(begin, bytes, {}, &found, scratch.data(), nullptr).ok());
    REQUIRE(found.size() == bytes);
}

/// One file, read ahead.
class file_fixture {
public:
    explicit file_fixture(const std::string& name = "000012.blob") : file_(open_file(*files_, scratch_.path() / name)) {}

    /// What is asked for ahead of it.
    ranges read(std::uint64_t begin, std::uint64_t bytes) {
        read_from(*file_, begin, bytes);
        auto asked = pages_.asked.take();
        return asked.empty() ? ranges{} : asked.begin()->second;
    }

private:
    scratch_directory scratch_;
    page_cache pages_;
    std::shared_ptr<rocksdb::FileSystem> files_ = reading_ahead(std::make_shared<watched_files>(pages_));
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

TEST_CASE("what was passed is given back page by page, oldest first, when 256 MiB have been read since") {
    constexpr std::uint64_t mebibyte = 1024 * kibibyte;
    page_cache pages;
    scratch_directory scratch;
    const auto files = reading_ahead(std::make_shared<watched_files>(pages));
    const auto name = [&](int number) { return (scratch.path() / (std::to_string(number) + ".blob")).string(); };
    auto first = open_file(*files, name(1));
    auto closed = open_file(*files, name(2));
    auto last = open_file(*files, name(3), 300 * mebibyte);
    const auto pass = [](rocksdb::FSRandomAccessFile& file) {  // 4 MiB and 100 bytes
        read_from(file, 0, 2 * mebibyte + 100);
        read_from(file, 2 * mebibyte + 100, mebibyte);
        read_from(file, 3 * mebibyte + 100, mebibyte);
    };
    pass(*first);
    pass(*closed);
    closed.reset();
    std::uint64_t at = 0;
    const auto pass_more = [&](std::uint64_t mebibytes) {
        for (const auto end = at + mebibytes; at < end; ++at) read_from(*last, at * mebibyte, mebibyte);
        return pages.given_back.take();
    };
    using given_back = std::map<std::string, ranges>;
    CHECK(pass_more(247).empty());
    CHECK(pass_more(1) == given_back{{name(1), {{0, 3 * mebibyte + 100}}}});
    CHECK(pass_more(3) == given_back{{name(1), {{3 * mebibyte, mebibyte + 100}}}});  // with the page of which something was left
    CHECK(pass_more(9) == given_back{{name(3), {{0, 2 * mebibyte}, {2 * mebibyte, mebibyte}, {3 * mebibyte, mebibyte}}}});  // those of the closed file are nobody's
}

}  // namespace

TEST_CASE("a backlog that is read in order is read ahead") {
    page_cache pages;
    scratch_directory scratch;
    auto options = options_for(scratch.path() / "store");
    options.file_system = std::make_shared<watched_files>(pages);
    const auto p = partition(1);
    {
        const auto opened = open_or_fail(options);
        const auto epoch = open_shard(*opened);
        for (std::uint64_t i = 0; i < 100; ++i) {
            REQUIRE_FALSE(commit(*opened, epoch, {append(p, i, i, std::string(100'000, 'x'))}));
        }
    }
    const auto opened = open_or_fail(options);
    pages.asked.take();
    CHECK(read_texts(*opened, p).size() == 100);
    const auto found = pages.asked.take();
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

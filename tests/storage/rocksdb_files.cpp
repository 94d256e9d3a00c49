// What is read and written as whole files.
#include "broker/storage/rocksdb_files.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <utility>

namespace millrace::storage {
namespace {

/// Gives what it holds a few bytes at a time, out of its own memory, as a file system may.
class piecemeal_file final : public rocksdb::FSSequentialFile {
public:
    explicit piecemeal_file(std::string bytes) : bytes_(std::move(bytes)) {}

    rocksdb::IOStatus Read(std::size_t n, const rocksdb::IOOptions&, rocksdb::Slice* result, char*, rocksdb::IODebugContext*) override {
        const auto given = std::min({n, std::size_t{3}, bytes_.size() - at_});
        *result = {bytes_.data() + at_, given};
        at_ += given;
        return rocksdb::IOStatus::OK();
    }
    rocksdb::IOStatus Skip(std::uint64_t n) override {
        at_ += n;
        return rocksdb::IOStatus::OK();
    }

private:
    const std::string bytes_;
    std::size_t at_ = 0;
};

}  // namespace

TEST_CASE("what a file gives in pieces, and in memory of its own, comes together in the buffer and nowhere else") {
    const std::string text = "what is read";
    const auto wanted = GENERATE(as<std::size_t>{}, 5, 12, 20);
    piecemeal_file file(text);
    std::string memory(60, '.');
    std::size_t filled = 0;
    REQUIRE(fill(file, memory.data() + 20, wanted, filled).ok());
    CHECK(filled == std::min(wanted, text.size()));
    CHECK(memory == std::string(20, '.') + text.substr(0, filled) + std::string(40 - filled, '.'));
}

}  // namespace millrace::storage

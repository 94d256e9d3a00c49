#include "broker/storage/rocksdb_log_view.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "broker/storage/rocksdb_files.hpp"
#include "broker/storage/rocksdb_log_records.hpp"

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

class log_view final : public rocksdb::FSSequentialFile {
public:
    log_view(std::unique_ptr<rocksdb::FSSequentialFile> file, std::uint64_t number) : file_(std::move(file)), salt_(salt_of(number)) {}

    /// RocksDB takes less than it asked for as the end of the file.
    IO Read(std::size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
        std::size_t given = 0;
        auto status = IO::OK();
        while (given < n && (next_ < sound_ || !is_over_)) {
            if (next_ == sound_) {
                status = read_block();
                if (!status.ok()) {
                    break;
                }
            }
            const auto some = std::min(n - given, sound_ - next_);
            std::memcpy(scratch + given, block_.data() + next_, some);
            given += some;
            next_ += some;
        }
        *result = {scratch, given};
        return status;
    }

    IO Skip(std::uint64_t n) override {
        auto status = IO::OK();
        for (std::array<char, 4096> passed; status.ok() && n > 0;) {
            Slice got;
            status = Read(std::min<std::uint64_t>(n, passed.size()), {}, &got, passed.data(), nullptr);
            if (got.empty()) {
                break;
            }
            n -= got.size();
        }
        return status;
    }

private:
    IO read_block() {
        std::size_t filled = 0;
        auto status = fill(*file_, block_.data(), block_.size(), filled);
        next_ = sound_ = 0;
        if (!status.ok()) {
            return status;
        }
        const std::string_view block(block_.data(), filled);
        auto found = record_at(block, 0);
        if (std::exchange(is_first_block_, false) && found && found->is_data_of(no_salt)) {
            salt_ = no_salt;  // an earlier program's
        }
        for (; found && found->is_data_of(salt_); found = record_at(block, sound_)) {
            turn_salt(block_.data() + sound_, salt_);
            sound_ += found->bytes();
        }
        const auto is_all = filled == block_.size() && filled - sound_ < record_header_bytes;
        sound_ = is_all ? filled : sound_;
        is_over_ = !is_all;
        return status;
    }

    const std::unique_ptr<rocksdb::FSSequentialFile> file_;
    std::uint32_t salt_;
    std::array<char, log_block_bytes> block_;
    std::size_t next_ = 0;   // of the block, to be given
    std::size_t sound_ = 0;  // so much of it
    bool is_first_block_ = true;
    bool is_over_ = false;
};

}  // namespace

std::unique_ptr<rocksdb::FSSequentialFile> view_of_log(std::unique_ptr<rocksdb::FSSequentialFile> file, std::uint64_t number) {
    return std::make_unique<log_view>(std::move(file), number);
}

}  // namespace millrace::storage

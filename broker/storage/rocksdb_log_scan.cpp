#include "broker/storage/rocksdb_log_scan.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "broker/storage/rocksdb_files.hpp"
#include "broker/storage/rocksdb_log_records.hpp"
#include "proto/little_endian.hpp"

namespace millrace::storage {
namespace {

const rocksdb::IOOptions plain;

constexpr std::size_t read_bytes = 32 * log_block_bytes;

// A batch: { first sequence u64, count u32 }, then its entries; log data is { tag 3, length as varint, bytes }.
constexpr std::size_t batch_header_bytes = 12;
constexpr char log_data_tag = 3;
constexpr std::size_t head_bytes = batch_header_bytes + 2 + synced_mark_bytes;  // of a batch: all that is looked at

constexpr std::string_view mark_magic = "MLS1";

using proto::load;
using proto::store;

bool is_zero(std::string_view bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

/// Whether the file ends inside the record that begins with `bytes`, as RocksDB takes it.
bool is_unfinished(std::string_view bytes) {
    return bytes.size() < record_header_bytes || bytes.size() - record_header_bytes < load<std::uint16_t>(bytes.data() + 4);
}

/// The next log goes on where this one ends.
bool was_filled_ahead(const bad_spot& spot) {
    return spot.ends_log && spot.before > 0 && spot.after == spot.before + 1;
}

/// Writes batches as the log of that number has them.
class log_writer {
public:
    log_writer(rocksdb::FSWritableFile& file, std::uint64_t number) : file_(file), salt_(salt_of(number)) {}

    void append(std::string_view batch) {
        for (auto type = record_type::first;; type = record_type::middle) {
            auto room = log_block_bytes - at_ % log_block_bytes;
            if (room < record_header_bytes) {
                bytes_.append(room, '\0');
                at_ += room;
                room = log_block_bytes;
            }
            const auto fragment = batch.substr(0, room - record_header_bytes);
            batch.remove_prefix(fragment.size());
            if (batch.empty()) {
                emit(type == record_type::first ? record_type::full : record_type::last, fragment);
                break;
            }
            emit(type, fragment);
        }
        if (bytes_.size() >= read_bytes) {
            flush();
        }
    }

    /// Hands over what is left. Gives the first failure there was.
    rocksdb::IOStatus finish() {
        flush();
        return status_;
    }

private:
    void emit(record_type type, std::string_view fragment) {
        const auto header = record_header(type, fragment, salt_);
        bytes_.append(header.data(), header.size()).append(fragment);
        at_ += header.size() + fragment.size();
    }

    void flush() {
        if (status_.ok()) {
            status_ = file_.Append(bytes_, plain, nullptr);
        }
        bytes_.clear();
    }

    rocksdb::FSWritableFile& file_;
    const std::uint32_t salt_;
    rocksdb::IOStatus status_;
    std::string bytes_;
    std::uint64_t at_ = 0;
};

/// Goes through the logs in order.
class log_scanner {
public:
    /// With `copy`, every valid batch is written there.
    explicit log_scanner(log_writer* copy = nullptr) : copy_(copy) {}

    void begin(std::uint64_t log) {
        if (before_ > 0) {
            earlier_log_ = log_;
            earlier_before_ = before_;
        }
        log_ = log;
        salt_ = salt_of(log);
        salt_is_known_ = false;
        before_ = 0;
        expected_.reset();
        region_.reset();
        incarnation_.reset();
        in_batch_ = false;
        findings_.logs.emplace_back(log, 0);
    }

    /// The next block of the log; only its last one may be short.
    void take_block(std::string_view block, std::uint64_t at) {
        look_for_salt(block);
        std::size_t pos = 0;
        while (block.size() - pos >= record_header_bytes) {
            const auto found = record_at(block, pos);
            if (found && holds(*found)) {
                take(*found, at + pos);
                pos += found->bytes();
                continue;
            }
            const auto is_old = found && is_of_dead_log(*found);
            const auto is_zero_on = !is_old && is_zero(block.substr(pos));
            const auto ends = found && found->type == record_type::end && found->salt == salt_;
            skip(at + pos, is_old || is_zero_on || ends);
            pos = is_old ? pos + found->bytes() : is_zero_on ? block.size() : resume_behind(block, pos);
        }
        if (pos < block.size() && block.size() < log_block_bytes) {  // a header that was cut
            skip(at + pos, is_zero(block.substr(pos)));
        }
    }

    void end(std::uint64_t size) {
        if (in_batch_) {
            lose_batch();
        }
        if (!region_ || region_->is_empty) {
            return;
        }
        add_spot(region_->begin, size - region_->begin, 0);
    }

    log_findings take_findings() { return std::move(findings_); }

private:
    struct bad_region {
        std::uint64_t begin;
        bool is_empty;  // nothing of this log was ever there
    };

    /// An earlier program's logs have none. At the begin of a block nobody's message stands.
    void look_for_salt(std::string_view block) {
        const auto found = salt_is_known_ ? std::nullopt : record_at(block, 0);
        if (found && holds(*found)) {
            salt_ = found->salt;
            salt_is_known_ = true;
        }
    }

    bool holds(const log_record& found) const { return found.is_data_of(salt_) || (!salt_is_known_ && found.is_data_of(no_salt)); }

    /// Where the next valid record of the block begins behind a bad one at `pos`: where its length says, else wherever one stands.
    std::size_t resume_behind(std::string_view block, std::size_t pos) const {
        const auto holds_at = [&](std::size_t at) {
            const auto found = record_at(block, at);
            return found && holds(*found);
        };
        const auto next = pos + record_header_bytes + load<std::uint16_t>(block.data() + pos + 4);
        if (next < block.size() && holds_at(next)) {
            return next;
        }
        for (++pos; pos + record_header_bytes <= block.size(); ++pos) {
            if (holds_at(pos)) {
                return pos;
            }
        }
        return block.size();
    }

    /// Over which this one is written.
    bool is_of_dead_log(const log_record& found) const {
        const auto number = log_of(found.salt);
        return salt_ != no_salt && found.type != record_type::end && 0 < number && number < log_;
    }

    /// `after`: 0 at the end of the log, which nothing follows yet.
    void add_spot(std::uint64_t at, std::uint64_t bytes, std::uint64_t after) {
        findings_.spots.push_back({log_, at, bytes, before_, earlier_log_, earlier_before_, after, after == 0, after > 0, false});
    }

    /// `is_empty`: zeros, allocated in advance, or what a dead log left.
    void skip(std::uint64_t at, bool is_empty) {
        if (in_batch_) {
            lose_batch();
        }
        if (!region_) {
            region_ = bad_region{at, true};
        }
        region_->is_empty &= is_empty;
    }

    /// The batch whose fragments were being gathered does not end.
    void lose_batch() {
        in_batch_ = false;
        if (!region_) {
            region_ = bad_region{batch_at_, false};
        }
        region_->is_empty = false;
    }

    void take(const log_record& found, std::uint64_t at) {
        const auto begins = found.type == record_type::full || found.type == record_type::first;
        if (begins == in_batch_) {  // a new one inside another, or a fragment of none
            if (!begins) {
                return skip(at, false);
            }
            lose_batch();
        }
        if (begins) {
            head_.clear();
            batch_at_ = at;
        }
        head_.append(copy_ ? found.payload : found.payload.substr(0, head_bytes - std::min(head_bytes, head_.size())));
        in_batch_ = found.type == record_type::first || found.type == record_type::middle;
        if (!in_batch_) {
            take_batch();
        }
    }

    void take_batch() {
        if (head_.size() < batch_header_bytes) {
            return skip(batch_at_, false);
        }
        const auto sequence = load<std::uint64_t>(head_.data());
        const auto count = load<std::uint32_t>(head_.data() + 8);
        if (expected_ && sequence < *expected_) {
            return skip(batch_at_, false);
        }
        const auto is_gap = expected_ && sequence != *expected_;
        if (region_ || is_gap) {
            const auto begin = region_ ? region_->begin : batch_at_;
            add_spot(begin, batch_at_ - begin, sequence);
            region_.reset();
        }
        for (auto& spot : findings_.spots) {
            if (spot.after == 0) {
                spot.after = sequence;
            }
        }
        expected_ = sequence + count;
        if (*expected_ > 0) {
            before_ = *expected_ - 1;
        }
        if (copy_) {
            copy_->append(head_);
        }
        synced_mark mark;
        if (head_.size() >= head_bytes && head_[batch_header_bytes] == log_data_tag &&
            parse_mark(std::string_view(head_).substr(batch_header_bytes + 2, synced_mark_bytes), mark)) {
            believe(mark);
        }
    }

    void believe(const synced_mark& mark) {
        if (incarnation_.value_or(mark.incarnation) != mark.incarnation || mark.first_log > log_) {  // part of a message, not a batch
            return;
        }
        incarnation_ = mark.incarnation;
        findings_.logs.back().second = mark.first_log;
        for (auto& spot : findings_.spots) {
            if (spot.log < mark.first_log) {  // of an earlier process, whose torn tail was cut and its sequences given again
                continue;
            }
            if (was_filled_ahead(spot)) {
                continue;
            }
            spot.is_followed = true;
            spot.was_synced |= spot.is_covered(mark.first_log, mark.sequence);
        }
    }

    log_writer* const copy_;
    log_findings findings_;
    std::uint64_t log_ = 0;
    std::uint32_t salt_ = no_salt;           // of its records
    bool salt_is_known_ = false;             // by one of them that begins a block
    std::uint64_t before_ = 0;               // last sequence of the last valid batch of this log
    std::uint64_t earlier_log_ = 0;          // the last one before it that has a valid batch, and the last sequence of that
    std::uint64_t earlier_before_ = 0;
    std::optional<std::uint64_t> expected_;  // that of the next
    std::optional<bad_region> region_;
    std::optional<std::uint64_t> incarnation_;
    bool in_batch_ = false;
    std::uint64_t batch_at_ = 0;
    std::string head_;  // of the batch; all of it where it is copied
};

error unreadable(const std::string& path, const rocksdb::IOStatus& status) {
    return {errc::storage_failure, "the log " + path + " cannot be read: " + status.ToString()};
}

error scan_log(rocksdb::FileSystem& files, const std::string& path, log_scanner& scanner) {
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    auto status = files.NewSequentialFile(path, {}, &file, nullptr);
    if (!status.ok()) {
        return unreadable(path, status);
    }
    const auto buffer = std::make_unique_for_overwrite<char[]>(read_bytes);
    for (std::uint64_t at = 0;;) {
        std::size_t filled = 0;
        status = fill(*file, buffer.get(), read_bytes, filled);
        if (!status.ok()) {
            return unreadable(path, status);
        }
        for (std::size_t pos = 0; pos < filled; pos += log_block_bytes) {
            scanner.take_block({buffer.get() + pos, std::min(log_block_bytes, filled - pos)}, at + pos);
        }
        at += filled;
        if (filled < read_bytes) {
            scanner.end(at);
            return {};
        }
    }
}

template <class Write>
error replace_log(rocksdb::FileSystem& files, const std::string& path, Write write) {
    const auto status = replace_file(files, path, write);
    return status.ok() ? error{} : error{errc::storage_failure, "the log " + path + " cannot be mended: " + status.ToString()};
}

}  // namespace

std::array<char, synced_mark_bytes> encode(const synced_mark& mark) {
    std::array<char, synced_mark_bytes> bytes;
    std::memcpy(bytes.data(), mark_magic.data(), mark_magic.size());
    store(bytes.data() + 4, mark.incarnation);
    store(bytes.data() + 12, mark.first_log);
    store(bytes.data() + 20, mark.sequence);
    return bytes;
}

bool parse_mark(std::string_view bytes, synced_mark& out) {
    if (bytes.size() != synced_mark_bytes || !bytes.starts_with(mark_magic)) {
        return false;
    }
    out = {load<std::uint64_t>(bytes.data() + 4), load<std::uint64_t>(bytes.data() + 12), load<std::uint64_t>(bytes.data() + 20)};
    return true;
}

// A process numbers its batches on through all its logs.
bool bad_spot::is_covered(std::uint64_t first_log, std::uint64_t sequence) const {
    const auto last_before = before > 0 ? before : before_in >= first_log ? before_there : 0;
    return last_before > 0 ? sequence > last_before : after > 0 && sequence >= after - 1;
}

const bad_spot* log_findings::damage() const {
    const auto found = std::find_if(spots.begin(), spots.end(), [](const bad_spot& s) { return s.was_synced; });
    return found == spots.end() ? nullptr : &*found;
}

void log_findings::believe_tables(std::uint64_t sequence) {
    for (auto& spot : spots) {
        std::uint64_t first_log = 0;
        auto is_superseded = false;  // a later process has recovered from it, and given its sequences again
        for (const auto& [log, first_of_its_process] : logs) {
            is_superseded |= first_of_its_process > spot.log;
            if (log >= spot.log && first_of_its_process <= spot.log) {
                first_log = std::max(first_log, first_of_its_process);
            }
        }
        const auto is_known = spot.before > 0 || first_log > 0;  // else the logs in front may be another process's
        spot.was_synced |= is_known && !is_superseded && !was_filled_ahead(spot) && spot.is_covered(first_log, sequence);
    }
}

result<log_findings> scan_logs(rocksdb::FileSystem& files, const std::string& directory) {
    std::vector<std::string> names;
    const auto status = files.GetChildren(directory, plain, &names, nullptr);
    if (!status.ok()) {
        return unreadable(directory, status);
    }
    std::vector<std::pair<std::uint64_t, std::string>> logs;
    for (const auto& name : names) {
        if (const auto number = log_number(name)) {
            logs.emplace_back(*number, name);
        }
    }
    std::sort(logs.begin(), logs.end());
    log_scanner scanner;
    for (const auto& [number, name] : logs) {
        scanner.begin(number);
        if (error failed = scan_log(files, directory + "/" + name, scanner)) {
            return failed;
        }
    }
    return scanner.take_findings();
}

error cut_torn_tail(rocksdb::FileSystem& files, const std::string& directory, const log_findings& findings) {
    const auto& spots = findings.spots;
    const auto torn = std::find_if(spots.begin(), spots.end(), [](const bad_spot& s) { return s.is_followed; });
    // From the end: should this be interrupted, what is left is still in front of the hole, or behind one that is found again.
    std::set<std::uint64_t> deleted;
    for (auto log = findings.logs.rbegin(); torn != spots.end() && log != findings.logs.rend() && log->first > torn->log; ++log) {
        if (log->second == 0 || log->second > torn->log) {
            continue;
        }
        const auto status = files.DeleteFile(directory + "/" + log_file_name(log->first), plain, nullptr);
        if (!status.ok()) {
            return {errc::storage_failure, "the torn log " + log_file_name(log->first) + " cannot be cut: " + status.ToString()};
        }
        deleted.insert(log->first);
    }
    std::map<std::uint64_t, std::uint64_t> ends;
    for (auto spot = spots.begin(); spot != spots.end(); ++spot) {
        if (spot == torn || (!spot->is_followed && spot->log < findings.logs.back().first && !deleted.contains(spot->log))) {
            ends.try_emplace(spot->log, spot->offset);
        }
    }
    for (const auto& [log, end] : ends) {
        const auto path = directory + "/" + log_file_name(log);
        if (error refused = replace_log(files, path, [&](rocksdb::FSWritableFile& to) { return append_file(files, path, to, end); })) {
            return refused;
        }
    }
    return {};
}

error salvage_logs(rocksdb::FileSystem& files, const std::string& directory, const log_findings& findings) {
    std::set<std::uint64_t> damaged;
    for (const auto& spot : findings.spots) {
        damaged.insert(spot.log);
    }
    for (const auto number : damaged) {
        const auto path = directory + "/" + log_file_name(number);
        files.LinkFile(path, path + ".damaged", plain, nullptr).PermitUncheckedError();  // for who wants to look; not every file system can
        const auto mend = [&](rocksdb::FSWritableFile& to) {
            log_writer copy(to, number);
            log_scanner scanner(&copy);
            scanner.begin(number);
            const error failed = scan_log(files, path, scanner);
            return failed ? rocksdb::IOStatus::IOError(failed.what) : copy.finish();
        };
        if (error refused = replace_log(files, path, mend)) {
            return refused;
        }
    }
    return {};
}

sound_front front_of(rocksdb::FileSystem& files, const std::string& path) {
    sound_front front;
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    if (!files.NewSequentialFile(path, {}, &file, nullptr).ok()) {
        return front;
    }
    std::string buffer(log_block_bytes, '\0');
    auto is_sound = true;
    for (std::uint64_t at = 0;; at += log_block_bytes) {
        std::size_t filled = 0;
        fill(*file, buffer.data(), log_block_bytes, filled).PermitUncheckedError();  // what cannot be read is not sound
        auto rest = std::string_view(buffer).substr(0, filled);
        if (is_sound) {
            std::size_t pos = 0;
            for (auto found = record_at(rest, 0); found && found->is_data_of(no_salt); found = record_at(rest, pos)) {
                pos += found->bytes();
            }
            front.bytes = at + pos;
            rest.remove_prefix(pos);
            is_sound = filled == log_block_bytes && rest.size() < record_header_bytes;
            if (filled < log_block_bytes && is_unfinished(rest)) {
                return front;
            }
        }
        front.is_all = is_sound || (front.is_all && is_zero(rest));
        if (filled < log_block_bytes) {
            return front;
        }
    }
}

}  // namespace millrace::storage

// Write-ahead logs that were written well, and then damaged: what had been answered is never taken for a torn tail, and what was never answered is
// never taken for damage. Or bytes that were never a log. In memory, by the code that reads them before RocksDB does.
#include <rocksdb/env.h>

#include <memory>
#include <optional>

#include "broker/storage/rocksdb_log_records.hpp"
#include "broker/storage/rocksdb_log_scan.hpp"
#include "proto/crc32c.hpp"
#include "proto/little_endian.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

using namespace storage;

constexpr std::size_t block_bytes = 32u << 10;
constexpr std::size_t header_bytes = 7;
const std::string directory = "/logs";

template <class T>
void put(std::string& out, T value) {
    std::byte bytes[sizeof(T)];
    proto::store(bytes, value);
    out.append(reinterpret_cast<const char*>(bytes), sizeof(T));
}

void put_fragment(std::string& log, char type, std::string_view payload) {
    const auto crc = proto::crc32c(proto::crc32c(0, &type, 1), payload.data(), payload.size());
    put(log, (crc >> 15 | crc << 17) + 0xa282ead8u);
    put(log, static_cast<std::uint16_t>(payload.size()));
    log += type;
    log += payload;
}

/// As RocksDB writes it.
void put_batch(std::string& log, std::string_view batch) {
    for (bool is_first = true;; is_first = false) {
        if (const auto room = block_bytes - log.size() % block_bytes; room < header_bytes) log.append(room, '\0');
        const auto fragment = batch.substr(0, block_bytes - log.size() % block_bytes - header_bytes);
        batch.remove_prefix(fragment.size());
        const auto is_last = batch.empty();
        put_fragment(log, is_first ? (is_last ? 1 : 2) : (is_last ? 4 : 3), fragment);
        if (is_last) return;
    }
}

struct written_batch {
    std::uint64_t log = 0, begin = 0, end = 0;  // bytes of its file
    std::uint64_t first = 0, last = 0;          // sequences
    std::uint64_t synced = 0;                   // what its mark says
};

/// One process's logs, from number 10 on.
struct written_logs {
    std::vector<std::string> files;
    std::vector<written_batch> batches;
};

written_logs write_logs(choices& c) {
    written_logs all;
    std::uint64_t sequence = 1 + c.below(1000), synced = 0;
    all.files.resize(1);
    for (auto count = c.below(12); count > 0; --count) {
        if (c.one_in(8)) all.files.emplace_back();
        written_batch b{9 + all.files.size(), all.files.back().size(), 0, sequence, sequence + c.below(5), 0};
        if (!all.batches.empty()) synced = std::max(synced, all.batches[all.batches.size() - 1 - c.below(std::min<std::size_t>(3, all.batches.size()))].last);
        if (c.one_in(3)) synced = std::min(synced, sequence - 1);
        b.synced = all.batches.empty() ? sequence - 1 : synced;
        std::string batch;
        put(batch, b.first);
        put(batch, static_cast<std::uint32_t>(b.last - b.first + 1));
        batch += '\3';
        batch += static_cast<char>(synced_mark_bytes);
        const auto mark = encode(synced_mark{77, 10, b.synced});
        batch.append(mark.data(), mark.size());
        auto content = c.one_in(6) ? std::string(c.below(90'000), 'x') : c.text(60);
        for (auto& byte : content) byte = static_cast<char>(byte | '\x80');  // no record of a log by itself: a fuzzer makes some, checksum and all
        batch += content;
        put_batch(all.files.back(), batch);
        b.end = all.files.back().size();
        sequence = b.last + 1;
        all.batches.push_back(b);
    }
    if (c.one_in(4)) return all;  // by an earlier program
    for (std::size_t i = 0; i < all.files.size(); ++i) log_salter(10 + i).put_on(all.files[i].data(), all.files[i].size());
    return all;
}

class memory_directory {
public:
    memory_directory() : env_(rocksdb::NewMemEnv(rocksdb::Env::Default())) { env_->CreateDirIfMissing(directory).PermitUncheckedError(); }

    void write(std::uint64_t log, const std::string& bytes) { must(rocksdb::WriteStringToFile(env_.get(), bytes, path_of(log)).ok(), "memory can be written"); }
    std::optional<std::string> read(std::uint64_t log) {
        std::string bytes;
        if (!rocksdb::ReadFileToString(env_.get(), path_of(log), &bytes).ok()) return std::nullopt;
        return bytes;
    }
    log_findings scan() {
        auto found = scan_logs(*env_->GetFileSystem(), directory);
        must(bool(found), "logs that can be read are judged", found ? error{} : found.failure());
        return std::move(found.value());
    }
    void cut(const log_findings& found) { must(!cut_torn_tail(*env_->GetFileSystem(), directory, found), "a torn tail can be cut"); }
    void salvage(const log_findings& found) { must(!salvage_logs(*env_->GetFileSystem(), directory, found), "damaged logs can be mended"); }

private:
    static std::string path_of(std::uint64_t log) { return directory + "/" + log_file_name(log); }
    std::unique_ptr<rocksdb::Env> env_;
};

/// Spots lie in their files, in order.
void look_at(const log_findings& found, const std::vector<std::string>& files) {
    std::pair<std::uint64_t, std::uint64_t> before;
    for (const auto& s : found.spots) {
        must(s.log >= 10 && s.log < 10 + files.size() && s.offset + s.bytes <= files[s.log - 10].size(), "a bad spot lies in a log");
        must(before <= std::pair(s.log, s.offset), "bad spots come in order");
        must(!s.was_synced || s.is_followed, "only what follows can prove anything");
        before = {s.log, s.offset};
    }
}

/// A torn tail is cut so that RocksDB finds nothing behind it that the same process wrote; damage is mended so that only gaps stay.
void mend(memory_directory& place, const log_findings& found, const std::vector<std::string>& files, bool of_one_process) {
    if (!found.damage()) {
        const auto torn = std::find_if(found.spots.begin(), found.spots.end(), [](const bad_spot& s) { return s.is_followed; });
        place.cut(found);
        for (const auto& s : place.scan().spots)
            must(!s.is_followed || (!of_one_process && torn != found.spots.end() && s.log > torn->log), "nothing follows a torn tail that was cut");
        return;
    }
    place.salvage(found);
    const auto mended = place.scan();
    for (const auto& s : mended.spots) must(s.bytes == 0, "what was mended has no unreadable bytes");
    std::vector<std::string> once;
    for (std::size_t i = 0; i < files.size(); ++i) once.push_back(place.read(10 + i).value());
    place.salvage(mended);
    for (std::size_t i = 0; i < files.size(); ++i) must(place.read(10 + i) == once[i], "mending what is mended changes nothing");
}

/// Flips one bit of a batch, or overwrites part of it.
void damage(choices& c, std::string& file, const written_batch& b) {
    const auto at = b.begin + c.below(b.end - b.begin);
    if (c.one_in(4)) {
        const auto bytes = 1 + c.below(b.end - at);
        file.replace(at, bytes, std::string(bytes, static_cast<char>(c.one_in(2) ? 0 : 0x55)));
    } else {
        file[at] = static_cast<char>(file[at] ^ 1 << c.below(8));
    }
}

bool is_intact(const written_batch& b, const std::vector<std::string>& before, const std::vector<std::string>& now) {
    return before[b.log - 10].compare(b.begin, b.end - b.begin, now[b.log - 10], b.begin, b.end - b.begin) == 0;
}

void written_and_damaged(choices& c) {
    const auto written = write_logs(c);
    memory_directory place;
    for (std::size_t i = 0; i < written.files.size(); ++i) place.write(10 + i, written.files[i]);
    must(place.scan().spots.empty(), "a log that was written well has no bad spots");
    if (written.batches.empty()) return;

    auto files = written.files;
    const auto& hit = written.batches[c.below(written.batches.size())];
    damage(c, files[hit.log - 10], hit);
    if (c.one_in(4)) {
        const auto& other = written.batches[c.below(written.batches.size())];
        damage(c, files[other.log - 10], other);
    }
    for (std::size_t i = 0; i < files.size(); ++i) place.write(10 + i, files[i]);
    const auto found = place.scan();
    look_at(found, files);
    std::uint64_t proven = 0;  // up to here, by what can still be read
    for (const auto& b : written.batches)
        if (is_intact(b, written.files, files)) proven = std::max(proven, b.synced);
    // In front of all that can be read nothing says how much is missing.
    bool behind_something = false;
    for (const auto& b : written.batches) {
        const auto intact = is_intact(b, written.files, files);
        must(intact || !behind_something || b.last > proven || found.damage() != nullptr, "what was answered and cannot be read is damage");
        behind_something |= intact;
    }
    bool any_answered = false;
    for (const auto& b : written.batches) any_answered |= !is_intact(b, written.files, files) && b.first <= proven;
    must(any_answered || found.damage() == nullptr, "what was never answered is no damage");
    mend(place, found, files, true);
}

void anything(choices& c) {
    std::vector<std::string> files;
    memory_directory place;
    for (auto count = 1 + c.below(3); count > 0; --count) {
        std::string log(c.below(3) * (block_bytes - 40), '\0');
        while (!c.ended() && !c.one_in(16)) {
            const auto kind = c.below(16);
            if (kind < 4) log += c.text(60);
            else put_fragment(log, static_cast<char>(kind < 10 ? kind - 4 : kind - 9), c.text(120));
        }
        files.push_back(log);
        place.write(9 + files.size(), log);
    }
    const auto found = place.scan();
    look_at(found, files);
    mend(place, found, files, false);
}

}  // namespace

void log_scan(input in) {
    choices c(in);
    if (c.one_in(2)) anything(c);
    else written_and_damaged(c);
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(log_scan)

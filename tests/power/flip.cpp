#include "tests/power/flip.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <vector>

#include "broker/check/check.hpp"
#include "broker/core/row.hpp"
#include "broker/core/shard.hpp"
#include "broker/driver/stored_entry.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::power {
namespace {

using sim::violation;

constexpr std::size_t everything = std::size_t{1} << 40;

/// What a store gave, and what it said it could not give.
struct contents {
    std::map<std::string, std::string> rows;
    std::map<core::partition_id, std::map<sequence, core::entry_bytes>> entries;
    std::map<core::partition_id, std::vector<std::pair<sequence, sequence>>> damaged;  // from, to
};

struct damage {
    std::string file, kind;
    std::uint64_t offset = 0;
    std::size_t size = 0;
    std::string words() const { return file + " (" + std::to_string(size) + " bytes) at offset " + std::to_string(offset); }
};

std::string kind_of(const std::string& path) {
    const auto name = std::filesystem::path(path).filename().string();
    const auto dot = name.rfind('.');
    return dot != std::string::npos ? name.substr(dot) : name.substr(0, name.find('-'));
}

/// Of a kind of file that is there, one, and in it one place.
damage strike(power_disk& disk, sim::random_source& random) {
    std::map<std::string, std::vector<std::string>> kinds;
    for (const auto& name : disk.names())
        if (!disk.bytes_of(name).empty()) kinds[kind_of(name)].push_back(name);
    auto kind = kinds.begin();
    std::advance(kind, static_cast<std::ptrdiff_t>(random.below(kinds.size())));
    const auto& file = random.pick(kind->second);
    auto& bytes = disk.bytes_of(file);
    const auto at = random.below(bytes.size());
    const auto length = std::min<std::uint64_t>(bytes.size() - at, random.chance(700) ? 1 : random.between(2, 512));
    for (std::uint64_t i = 0; i < length; ++i) bytes[at + i] = static_cast<char>(bytes[at + i] ^ (1 << random.below(8)));
    return {std::filesystem::path(file).filename().string(), kind->first, at, bytes.size()};
}

/// The entries as far as `sound` has any: behind a table that is gone nobody knows where a partition ends.
result<contents> read_all(storage::store& store, const std::set<core::partition_id>& partitions, const contents* sound = nullptr) {
    contents all;
    const auto rows = store.scan(all_rows, everything);
    if (!rows) return rows.failure();
    for (const auto& r : rows.value()) all.rows[r.key] = r.value;
    for (const auto& p : partitions) {
        for (sequence at;;) {
            const auto page = store.read(p, at, everything);
            if (!page) return page.failure();
            if (page.value().empty()) break;
            for (const auto& e : page.value()) {
                if (e.bytes) all.entries[p][e.last] = e.bytes;
                else all.damaged[p].emplace_back(at, e.last);
                at = e.last + 1;
            }
            if (sound && (!sound->entries.contains(p) || at > sound->entries.at(p).rbegin()->first) && !all.damaged[p].empty()) break;
        }
    }
    return all;
}

storage::rocksdb_options options_for(const std::shared_ptr<power_disk>& disk, std::vector<std::string>& told, bool salvage) {
    auto options = power_machine::options_on(disk);
    options.salvage = salvage;
    options.tell = [&told](const std::string& line) { told.push_back(line); };
    return options;
}

class trial {
public:
    trial(const contents& sound, const twin& written, std::uint64_t vouched_groups, std::shared_ptr<power_disk> disk, damage where, flip_counts& counts)
        : sound_(sound), written_(written), vouched_groups_(vouched_groups), disk_(std::move(disk)), where_(std::move(where)), counts_(counts) {}

    void run() {
        ++counts_.flips;
        ++counts_.by_kind[where_.kind];
        auto opened = start(false);
        auto found = read(opened);
        if (!found) {
            const auto why = to_string(found.failure());
            if (found.failure().code != errc::corruption) fail("refused, but not as corruption: " + why);
            if (why.find(where_.file) == std::string::npos) fail("refused without the file's name: " + why);
            ++counts_.refused;
            if (opened) opened.value().reset();
            opened = start(true);
            found = read(opened);
            if (!found) fail("no way out: " + why + "; and with --salvage: " + to_string(found.failure()));
        }
        judge(found.value());
        recover(*opened.value());
    }

private:
    result<std::unique_ptr<storage::store>> start(bool salvage) {
        auto opened = storage::open_rocksdb_store(options_for(disk_, told_, salvage));
        if (!opened) return opened;
        const auto epoch = opened.value()->open(core::shard_id{0});
        return epoch ? std::move(opened) : epoch.failure();
    }

    result<contents> read(const result<std::unique_ptr<storage::store>>& opened) const {
        return opened ? read_all(*opened.value(), written_.partitions(), &sound_) : result<contents>(opened.failure());
    }

    [[noreturn]] void fail(const std::string& what) const {
        std::string text = "damage in " + where_.words() + ": " + what;
        for (const auto& line : told_) text += "\n  told: " + line;
        throw violation(text);
    }

    void judge(const contents& found) {
        for (const auto& [p, entries] : found.entries)
            for (const auto& [last, bytes] : entries) {
                ++counts_.entries;
                if (!written_.has_written(p, last, *bytes)) fail("bytes that nobody wrote: " + place(p, last));
            }
        std::uint64_t lost = 0;
        for (const auto& [p, entries] : sound_.entries)
            for (const auto& [last, bytes] : entries) {
                const auto here = found.entries.find(p);
                if (here != found.entries.end() && here->second.contains(last)) continue;
                ++lost;
                if (!is_named(found, p, last)) fail("lost and not named: " + place(p, last) + ", of " + written_.words_of(p, last) + ", vouched for to " + std::to_string(vouched_groups_));
            }
        std::uint64_t rows = 0;
        for (const auto& [key, value] : sound_.rows) {
            const auto here = found.rows.find(key);
            rows += here == found.rows.end() || here->second != value;
        }
        for (const auto& [key, value] : found.rows) rows += !sound_.rows.contains(key);
        if (lost > 0 && where_.kind != ".log" && where_.kind != ".blob") fail(std::to_string(lost) + " entries are lost, and there was a copy");
        if (rows > 0 && where_.kind != ".log") fail(std::to_string(rows) + " rows are not what they were");
        counts_.lost_entries += lost;
        counts_.lost_rows += rows;
        if (lost == 0 && rows == 0 && told_.empty()) ++counts_.harmless;
    }

    bool is_named(const contents& found, core::partition_id p, sequence last) const {
        const auto damaged = found.damaged.find(p);
        if (damaged != found.damaged.end() &&
            std::any_of(damaged->second.begin(), damaged->second.end(), [&](const auto& d) { return d.first <= last && last <= d.second; }))
            return true;
        if (where_.kind == ".log" && written_.is_later(p, last, vouched_groups_)) return true;
        return std::any_of(told_.begin(), told_.end(), [&](const std::string& line) { return line.find(where_.file) != std::string::npos; });
    }

    /// As the broker starts, after `millrace check --repair` if it must.
    void recover(storage::store& store) {
        core::shard_settings settings;
        settings.level = durability::disk;
        const auto starts = [&] {
            const auto rows = store.scan(core::start_rows(), everything);
            if (!rows) fail("no rows to start from: " + to_string(rows.failure()));
            auto recovered = core::shard::recover(settings, rows.value());
            return recovered ? recovered.value().quarantined().empty() ? error{} : recovered.value().quarantined().front() : recovered.failure();
        };
        const auto before = starts();
        if (before && where_.kind != ".log") fail("it opened, and does not start: " + to_string(before));
        const auto examined = check::examine(store, true);
        if (!examined) fail("check --repair: " + to_string(examined.failure()));
        if (const auto after = starts()) fail("no way out: after check --repair it does not start: " + to_string(after));
    }

    static std::string place(core::partition_id p, sequence last) {
        return "topic " + std::to_string(static_cast<std::uint32_t>(p.topic)) + " partition " + std::to_string(p.index) + ", the entry up to " + std::to_string(last.value);
    }

    const contents& sound_;
    const twin& written_;
    const std::uint64_t vouched_groups_;
    const std::shared_ptr<power_disk> disk_;
    const damage where_;
    flip_counts& counts_;
    std::vector<std::string> told_;
};

}  // namespace

void flip_bits(const power_disk& disk, const twin& written, std::uint64_t vouched_groups, std::uint64_t seed, int times, flip_counts& counts) {
    if (written.groups() == 0) return;  // there may be no store yet
    sim::random_source random(seed);
    contents sound;
    {
        std::vector<std::string> told;
        const auto opened = storage::open_rocksdb_store(options_for(disk.copy(seed), told, false));
        if (!opened) throw violation("the store is refused before it was damaged: " + to_string(opened.failure()));
        sound = read_all(*opened.value(), written.partitions()).value();
    }
    for (int i = 0; i < times; ++i) {
        auto damaged = disk.copy(seed);
        const auto where = strike(*damaged, random);
        trial(sound, written, vouched_groups, damaged, where, counts).run();
    }
}

}  // namespace millrace::power

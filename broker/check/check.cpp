#include "broker/check/check.hpp"

#include <algorithm>
#include <future>

#include "broker/check/examination.hpp"
#include "broker/storage/rocksdb_store.hpp"

namespace millrace::check {
namespace {

/// One repair may bring to light what another hid: a topic whose row is made anew has partitions to look at.
constexpr int passes_max = 4;

error commit(storage::store& store, std::vector<core::mutation> remedies) {
    const core::shard_id shard{0};
    const auto epoch = store.open(shard);
    if (!epoch) return epoch.failure();
    std::promise<error> done;
    store.commit(shard, epoch.value(), std::move(remedies), [&](error failed) { done.set_value(std::move(failed)); });
    return done.get_future().get();
}

}  // namespace

bool report::sound() const {
    return std::all_of(findings.begin(), findings.end(), [](const finding& f) { return f.repaired; });
}

std::string to_string(const place& where) {
    std::string out;
    const auto add = [&](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
    if (!where.topic.empty()) add("topic '" + where.topic + "'");
    if (where.partition) add("partition " + std::to_string(*where.partition));
    if (!where.subscription.empty()) add("subscription '" + where.subscription + "'");
    if (where.first && where.last && *where.first != *where.last)
        add("messages " + std::to_string(where.first->value) + " to " + std::to_string(where.last->value));
    else if (where.first)
        add("message " + std::to_string(where.first->value));
    return out;
}

std::string to_string(const finding& f) {
    auto out = to_string(f.where);
    out += (out.empty() ? "" : ": ") + f.what;
    if (f.remedy.empty()) return out + " (cannot be repaired: restore a backup)";
    return out + (f.repaired ? " (repaired: " : " (--repair: ") + f.remedy + ")";
}

result<report> examine(storage::store& store, bool repair) {
    const auto among = [](const std::vector<finding>& some, const finding& f) {
        return std::any_of(some.begin(), some.end(), [&](const finding& other) { return other.where == f.where && other.what == f.what; });
    };
    std::vector<finding> tried;
    for (int pass = 0;; ++pass) {
        examination looking(store);
        if (auto refused = looking.run()) return refused;
        auto found = std::move(looking.found());
        for (auto& f : found.findings)
            if (among(tried, f)) f.remedy.clear();  // it did not help: a damaged table stays one, whatever is erased from it
        std::vector<finding> mendable;
        std::copy_if(found.findings.begin(), found.findings.end(), std::back_inserter(mendable), [](const finding& f) { return !f.remedy.empty(); });
        if (!repair || mendable.empty() || pass == passes_max) {
            std::erase_if(tried, [&](const finding& f) { return among(found.findings, f); });
            for (auto& f : tried) f.repaired = true;
            found.findings.insert(found.findings.begin(), tried.begin(), tried.end());
            return found;
        }
        if (auto refused = commit(store, looking.take_remedies())) return refused;
        tried.insert(tried.end(), mendable.begin(), mendable.end());
    }
}

result<report> check_directory(const check_request& request) {
    storage::rocksdb_options options;
    options.directory = request.directory;
    options.salvage = request.salvage;
    options.tell = request.tell;
    options.examine = true;
    if (!storage::rocksdb_crc32c_is_in_effect())
        return error{errc::storage_failure, "RocksDB does not use this program's CRC-32C, or it is wrong: the build is broken"};
    auto opened = storage::open_rocksdb_store(options);
    if (!opened) return opened.failure();
    return examine(*opened.value(), request.repair);
}

}  // namespace millrace::check

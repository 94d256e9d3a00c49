// Named producers: rows that cannot be read, or speak of what there is not, are dropped. What goes with them is that a batch sent again is known again.
#include "broker/check/examination.hpp"
#include "broker/core/producers.hpp"
#include "broker/core/row_codec.hpp"

namespace millrace::check {
namespace {

constexpr auto forgotten = "the row is dropped: a batch that is sent again may be stored twice";

/// The sequences that a position row names: those of its batches.
std::vector<sequence> firsts_in(const core::row& r) {
    core::value_reader v(r.value);
    v.time();
    std::vector<sequence> firsts;
    while (!v.at_end()) {
        v.number<std::uint64_t>();
        firsts.push_back({v.number<std::uint64_t>()});
        v.number<std::uint32_t>();
    }
    return firsts;
}

}  // namespace

void examination::examine_producers() {
    core::producers known;
    for (const auto& r : producer_rows_) {
        if (const auto bad = known.recover(r)) {
            erase(r, {}, "a named producer: " + bad.what, forgotten);
            continue;
        }
        if (r.key.front() != 'Q') continue;
        core::key_reader k(r.key);
        k.u64();
        const core::topic_id topic{k.u32()};
        const auto index = k.u32();
        const auto t = topics_.find(topic);
        if (t == topics_.end() || !t->second.partitions.contains(index)) {
            erase(r, {}, "a named producer published to a partition that there is not", "the row is dropped");
            continue;
        }
        const auto next = t->second.partitions.at(index).log.next;
        for (const auto first : firsts_in(r))
            if (first >= next) {
                erase(r, place_of(t->second, index), "a named producer's batch begins at " + std::to_string(first.value) + ", and " + std::to_string(next.value) +
                                                         " is the next to come", forgotten);
                break;
            }
    }
}

}  // namespace millrace::check

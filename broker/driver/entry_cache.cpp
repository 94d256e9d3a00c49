#include "broker/driver/entry_cache.hpp"

namespace millrace::driver {

void entry_cache::insert(core::partition_id partition, cached_entry entry) {
    const key k{partition, entry.index->last()};
    const auto size = entry.bytes->capacity();
    if (!entries_.emplace(k, std::move(entry)).second) return;
    order_.push_back(k);
    bytes_ += size;
    while (bytes_ > bytes_max_ && order_.size() > 1) {
        const auto oldest = entries_.find(order_.front());
        order_.pop_front();
        if (oldest == entries_.end()) continue;  // forgotten with its partition
        bytes_ -= oldest->second.bytes->capacity();
        entries_.erase(oldest);
    }
}

const cached_entry* entry_cache::find(core::partition_id partition, sequence s) const {
    const auto it = entries_.lower_bound({partition, s});
    if (it == entries_.end() || it->first.first != partition || !it->second.index->contains(s)) return nullptr;
    return &it->second;
}

void entry_cache::forget(core::partition_id partition, sequence last) {
    const auto it = entries_.find({partition, last});
    if (it == entries_.end()) return;
    bytes_ -= it->second.bytes->capacity();
    entries_.erase(it);
}

void entry_cache::forget(core::partition_id partition) {
    auto it = entries_.lower_bound({partition, sequence{}});
    while (it != entries_.end() && it->first.first == partition) {
        bytes_ -= it->second.bytes->capacity();
        it = entries_.erase(it);
    }
}

}  // namespace millrace::driver

#include "tests/power/inode.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

namespace millrace::power {
namespace {

constexpr std::size_t sector_bytes = 512;
constexpr std::size_t page_bytes = 4096;

/// Calls `f(page, begin, end)` for each page that begin..end touches.
template <class F>
void for_each_page(std::size_t begin, std::size_t end, F f) {
    while (begin < end) {
        const auto page = begin / page_bytes;
        const auto next = std::min(end, (page + 1) * page_bytes);
        f(page, begin, next);
        begin = next;
    }
}

}  // namespace

void inode::write(std::size_t at, std::string_view data) {
    if (at < synced_) overwritten_.push_back({at, bytes_.substr(at, std::min(data.size(), synced_ - at))});
    if (bytes_.size() < at + data.size()) bytes_.resize(at + data.size());
    std::memcpy(bytes_.data() + at, data.data(), data.size());
}

// Cut at once: what a cut of the power might bring back is not needed by anyone who truncates.
void inode::truncate(std::size_t size) {
    bytes_.resize(size);
    synced_ = std::min(synced_, size);
    const auto cut = [&](std::vector<overwriting>& all) {
        std::erase_if(all, [&](const overwriting& o) { return o.at >= size; });
        for (auto& o : all) o.old.resize(std::min(o.old.size(), size - o.at));
    };
    cut(overwritten_);
    cut(given_up_overwritten_);
}

void inode::sync() {
    synced_ = bytes_.size();
    overwritten_.clear();
}

void inode::fail_sync() {
    given_up_.push_back({synced_, bytes_.size()});
    for (auto& o : std::exchange(overwritten_, {})) given_up_overwritten_.push_back(std::move(o));
}

void inode::lose_power(sim::random_source& random) {
    forget_overwritten(random);
    forget_appended(random);
    for (const auto& lost : given_up_)
        for (auto at = lost.begin; at < std::min(lost.end, bytes_.size()); ++at) bytes_[at] = '\0';
    put_back(given_up_overwritten_);
    *this = inode(std::move(bytes_));
}

void inode::forget_appended(sim::random_source& random) {
    const auto unsynced = bytes_.size() - synced_;
    switch (random.below(5)) {
        case 0: bytes_.resize(synced_); break;
        case 1: break;
        case 2: bytes_.resize(synced_ + random.below(unsynced + 1)); break;
        case 3: bytes_.resize(std::max(synced_, (synced_ + random.below(unsynced + 1)) / sector_bytes * sector_bytes)); break;
        default:
            for_each_page(synced_, bytes_.size(), [&](std::size_t, std::size_t begin, std::size_t end) {
                if (random.chance(400)) std::memset(bytes_.data() + begin, 0, end - begin);
            });
    }
}

// Of each page the disk has one of its versions: that of the last sync, or that after any of the writes since.
void inode::forget_overwritten(sim::random_source& random) {
    const auto all = overwritten_.size();
    const auto in_order = random.chance(500);
    const auto front = random.chance(300) ? all : random.below(all + 1);
    std::map<std::size_t, std::size_t> kept;  // page → so many of the writes
    for (auto i = all; i-- > 0;) {
        const auto& o = overwritten_[i];
        for_each_page(o.at, o.at + o.old.size(), [&](std::size_t page, std::size_t begin, std::size_t end) {
            const auto of_page = in_order ? front : kept.try_emplace(page, random.below(all + 1)).first->second;
            if (i >= of_page) std::memcpy(bytes_.data() + begin, o.old.data() + (begin - o.at), end - begin);
        });
    }
    if (in_order && front > 0 && front < all) {  // the last one that was begun may be torn at a sector
        const auto& torn = overwritten_[front - 1];
        const auto from = std::min((torn.at + random.below(torn.old.size() + 1)) / sector_bytes * sector_bytes, torn.at + torn.old.size());
        if (from > torn.at) std::memcpy(bytes_.data() + from, torn.old.data() + (from - torn.at), torn.at + torn.old.size() - from);
    }
}

void inode::put_back(const std::vector<overwriting>& all) {
    for (auto o = all.rbegin(); o != all.rend(); ++o)
        if (o->at < bytes_.size()) std::memcpy(bytes_.data() + o->at, o->old.data(), std::min(o->old.size(), bytes_.size() - o->at));
}

}  // namespace millrace::power

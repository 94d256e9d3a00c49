#include <algorithm>
#include <memory>

#include <catch2/catch.hpp>

#include "broker/server/push_queue.hpp"

namespace millrace::server {
namespace {

constexpr std::size_t mebibyte = 1u << 20;
constexpr core::consumer_id one{1}, other{2};

core::entry_bytes entry_of(std::size_t bytes) {
    return std::make_shared<const std::vector<std::byte>>(bytes, std::byte{'x'});
}

driver::push slice(core::consumer_id consumer, core::entry_bytes entry, std::size_t from, std::size_t bytes) {
    driver::push p{core::session_id{1}, consumer, {}};
    p.run.records = std::span(*entry).subspan(from, bytes);
    p.run.owner = std::move(entry);
    return p;
}

std::size_t bytes_of(const push_queue::frame& f) {
    std::size_t bytes = 0;
    for (const auto& r : f.runs) bytes += r.records.size();
    return bytes;
}

}  // namespace

TEST_CASE("a frame takes what stands at the front for one consumer, up to so many bytes, and one push at least") {
    push_queue q;
    const auto entry = entry_of(1000);
    for (const auto consumer : {one, one, one, other, one}) q.add(slice(consumer, entry, 0, 100));
    CHECK(q.bytes() == 500);
    const auto takes = [&](std::size_t bytes_max, core::consumer_id consumer, std::size_t runs) {
        const auto f = q.take(bytes_max);
        CHECK(f.consumer == consumer);
        CHECK(f.runs.size() == runs);
        CHECK(f.bytes == bytes_of(f));
    };
    takes(250, one, 2);
    takes(250, one, 1);
    takes(1, other, 1);
    CHECK(q.bytes() == 100);
    takes(250, one, 1);
    CHECK(q.empty());
    CHECK(q.bytes() == 0);
}

TEST_CASE("an entry that several pushes lie in is held once, until the last of them is taken or dropped") {
    push_queue q;
    const auto entry = entry_of(mebibyte);
    q.add(slice(one, entry, 0, 1000));
    q.add(slice(one, entry, 1000, 1000));
    q.add(slice(other, entry, 2000, 1000));
    CHECK(q.held_bytes() == mebibyte);
    q.take(1500);
    CHECK(q.held_bytes() == mebibyte);
    q.drop(one);
    CHECK(q.bytes() == 1000);
    CHECK(q.held_bytes() == mebibyte);
    q.take(1500);
    CHECK(q.held_bytes() == 0);
    CHECK(entry.use_count() == 1);
}

TEST_CASE("messages that lie far apart do not hold their entries when they wait for long") {
    push_queue q;
    std::vector<std::weak_ptr<const std::vector<std::byte>>> entries;
    for (std::size_t i = 0; i < 100; ++i) {
        auto entry = entry_of(mebibyte);
        entries.push_back(entry);
        q.add(slice(one, std::move(entry), i, 1000));
        CHECK(q.held_bytes() <= 9 * mebibyte + 4 * q.bytes());
    }
    const auto held = std::count_if(entries.begin(), entries.end(), [](const auto& e) { return !e.expired(); });
    CHECK(held <= 9);
    CHECK(q.bytes() == 100'000);
    while (!q.empty()) {
        const auto next = q.take(1);
        REQUIRE(next.runs.size() == 1);
        CHECK(std::all_of(next.runs[0].records.begin(), next.runs[0].records.end(), [](std::byte b) { return b == std::byte{'x'}; }));
        CHECK(next.runs[0].records.size() == 1000);
    }
    CHECK(q.held_bytes() == 0);
}

TEST_CASE("what fills its entry is never copied, however much of it waits") {
    push_queue q;
    for (int i = 0; i < 32; ++i) {
        const auto entry = entry_of(mebibyte);
        q.add(slice(one, entry, 0, mebibyte / 4));
        CHECK(entry.use_count() == 2);
    }
    CHECK(q.held_bytes() == 32 * mebibyte);
}

}  // namespace millrace::server

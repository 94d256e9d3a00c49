// Where the driver finds bytes: tail, cache, disk; and what it does when they are damaged or cannot be read.
#include "broker/driver/driver.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <vector>

#include "tests/driver/bench.hpp"

namespace millrace::driver {
namespace {

using namespace core;

TEST_CASE("a delivery waits for bytes that must be read") {
    bench b(tiny);
    const auto where = b.topic("t");
    for (const auto* payload : {"a", "b", "c"}) {
        b.publish(where, 2, payload);
        b.settle();
    }
    auto first = b.subscribe(2, "t", 100);
    CHECK(first.answers.size() == 1);
    CHECK(first.pushes.empty());
    REQUIRE(b.reads_.size() >= 1);
    CHECK(b.reads_.front().from == sequence{0});
    const auto all = b.settle();
    REQUIRE(all.pushes.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(all.pushes[i].run.first == sequence{2 * i});
        CHECK(payload_of(all.pushes[i].run) == std::string(1, static_cast<char>('a' + i)) + "0");
    }
    CHECK(all.closes.empty());
}

TEST_CASE("what waits behind a read keeps its bytes, as many as the cache may hold") {
    const auto bytes = GENERATE(std::size_t{1000}, std::size_t{1});
    auto settings = tiny;
    settings.read_cache_bytes = bytes;
    bench b(settings);
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 2);
    const auto began = b.subscribe(2, "t", 6);  // the first two must be read, the third is the newest that there is
    CHECK(began.pushes.empty());
    b.publish(where, 2);  // pushes it out of the cache of the newest; nobody has credit for it
    b.flush();
    b.commit_one();
    std::vector<push> pushes;
    auto read_again = false;
    while (!b.reads_.empty()) {
        read_again = read_again || b.reads_.front().from == sequence{4};
        auto found = b.read_one();
        std::move(found.pushes.begin(), found.pushes.end(), std::back_inserter(pushes));
    }
    REQUIRE(pushes.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(pushes[i].run.first == sequence{2 * i});
    CHECK(read_again == (bytes == 1));
}

/// What is read until all is given, by where each read begins.
std::vector<std::uint64_t> reads_of(bench& b, std::size_t& pushed) {
    std::vector<std::uint64_t> begins;
    while (!b.reads_.empty()) {
        begins.push_back(b.reads_.front().from.value);
        pushed += b.read_one().pushes.size();
    }
    return begins;
}

TEST_CASE("small entries that are near each other come with one read") {
    bench b({1, 256u << 10, 4});  // the newest is in the tail cache
    const auto where = b.topic("t");
    b.submit(input::create_subscription{{session_id{0}, request_id{3}}, "t", "behind", {}, {}});  // for it the core keeps in mind where all entries are
    constexpr std::uint64_t entries = 1000;
    for (std::uint64_t i = 0; i < entries; ++i) {
        for (int batch = 0; batch < 2; ++batch) b.publish(where, 1, std::string(500, 'm'));  // each is a delivery of its own
        b.settle();
    }
    std::size_t pushed = b.subscribe(2, "t", 2 * entries).pushes.size();
    const auto begins = reads_of(b, pushed);
    CHECK(pushed == 2 * entries);
    REQUIRE(begins.size() == 5);
    CHECK(begins[1] > 2 * 200);  // 256 KiB
    for (std::size_t i = 0; i < begins.size(); ++i) CHECK(begins[i] == i * begins[1]);  // each goes on where the one before it ends

    // The first two are further apart than one read reaches, the third comes with the second.
    b.submit(input::release{{session_id{2}, request_id{9}}, consumer_id{1}, {{0, {0}, {0}, 1}, {0, {600}, {600}, 1}, {0, {700}, {700}, 1}}});
    pushed = b.submit(input::credit{session_id{2}, consumer_id{1}, 3, 100'000'000}).pushes.size();
    CHECK(b.reads_.size() == 2);
    CHECK(reads_of(b, pushed) == std::vector<std::uint64_t>{0, 600});
    CHECK(pushed == 3);
}

TEST_CASE("a read is not counted on for an entry that an engine may leave to the next") {
    bench b({1, 4u << 20, 4});
    b.ends_early_ = true;
    const auto where = b.topic("t");
    constexpr std::uint64_t entries = 100;
    for (std::uint64_t i = 0; i < entries; ++i) {
        b.publish(where, 1, std::string(i % 2 == 0 ? 30'000 : 1000, 'm'));
        b.settle();
    }
    std::size_t pushed = b.subscribe(2, "t", entries).pushes.size();
    CHECK(reads_of(b, pushed) == std::vector<std::uint64_t>{0, 15, 31, 47, 63, 79, 95});
    CHECK(pushed == entries);
}

TEST_CASE("no more reads are under way than is allowed, the others follow in their order") {
    auto settings = tiny;
    settings.reads_in_flight = 2;
    bench b(settings);
    std::vector<topic_id> topics;
    for (const auto* name : {"a", "b", "c", "d", "e", "in-a-cache"}) {
        topics.push_back(b.topic(name).topic);
        b.publish({topics.back(), 0}, 1);
        b.settle();
    }
    topics.pop_back();
    for (std::uint64_t i = 0; i < topics.size(); ++i) b.subscribe(2 + i, std::string(1, static_cast<char>('a' + i)), 1);
    std::vector<topic_id> read;
    while (!b.reads_.empty()) {
        CHECK(b.reads_.size() <= 2);
        read.push_back(b.reads_.front().partition.topic);
        CHECK(b.read_one().pushes.size() == 1);
    }
    CHECK(read == topics);
}

TEST_CASE("what waits for a consumer that has left is dropped") {
    bench b(tiny);
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 2);
    const auto leave = GENERATE(0, 1, 2);
    b.subscribe(2, "t", 100);
    if (leave == 0) b.submit(input::unsubscribe{{session_id{2}, request_id{3}}, consumer_id{1}});
    if (leave == 1) b.submit(input::session_lost{session_id{2}});
    if (leave == 2) b.submit(input::delete_topic{{session_id{0}, request_id{3}}, "t", true});
    const auto all = b.settle();
    CHECK(all.pushes.empty());
    CHECK(all.closes.empty());
}

TEST_CASE("an entry that was freed is not found in a cache") {
    shard_settings small_window{durability::memory};
    small_window.window_messages = 1;
    bench b({}, small_window);
    const auto where = b.topic("t");
    const auto publish = [&] { b.publish(where, 4000, "x"), b.settle(); };
    for (int i = 0; i < 4; ++i) publish();
    b.subscribe(2, "t", 16'000);
    b.ack(2, 8000, 11'999);  // a hole, which the core forgets when the window grows
    for (int i = 0; i < 4; ++i) publish();
    b.ack(2, 4000, 7999);  // loads what it touches, and what follows
    CHECK_FALSE(b.settle().fatal);
    CHECK(b.store_->read(where, {4000}, 1).value().front().last == sequence{15'999});
}

TEST_CASE("what others have settled in turns does not hide what all have settled behind it") {
    constexpr std::uint64_t turns = 5'000;  // more than are looked at at once
    shard_settings small_window{durability::memory};
    small_window.window_messages = 1;
    bench b(tiny, small_window);
    const auto where = b.topic("t");
    for (const auto* name : {"u", "third"}) b.submit(input::create_subscription{{session_id{0}, request_id{3}}, "t", name, {}, {}});
    for (int i = 0; i < 10; ++i) b.publish(where, turns / 5), b.settle();
    b.publish(where, 1);
    b.settle();
    b.subscribe(2, "t", 2 * turns + 1);
    b.submit(input::subscribe{{session_id{3}, request_id{1}}, consumer_id{1}, "t", "u", "", 2 * turns + 1, 100'000'000, {}});
    b.settle();
    for (std::uint64_t at = 0; at < 2 * turns; ++at) b.ack(2 + at % 2, at, at);
    for (const std::uint64_t session : {2, 3}) b.ack(session, 2 * turns, 2 * turns);
    b.settle();
    REQUIRE(b.store_->read(where, {2 * turns}, 1).value().size() == 1);  // a third one may need it
    b.submit(input::delete_subscription{{session_id{0}, request_id{3}}, "t", "third"});
    b.settle();
    CHECK(b.store_->read(where, {2 * turns}, 1).value().empty());
    CHECK(b.store_->read(where, {2 * turns - 1}, 1).value().size() == 1);
}

TEST_CASE("a read that began before an entry was freed does not bring it back") {
    bench b(tiny);
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 1);
    b.subscribe(2, "t", 100);
    b.settle();
    b.peek("t", 0);
    b.settle();  // the read cache has that one now
    b.peek("t", 1);
    REQUIRE(b.reads_.size() == 1);
    auto early = b.store_->read(where, {1}, 1u << 20);
    b.ack(2, 1, 1);
    b.flush();
    b.commit_one();
    b->on_read(b.now_, b.reads_.front(), std::move(early));
    b.reads_.clear();  // it is asked for again
    const auto seen = b.settle();
    REQUIRE(seen.peeks.size() == 1);
    CHECK(seen.peeks[0].runs.front().first == sequence{2});
}

TEST_CASE("a read that begins while an entry's freeing is under way does not bring it back either") {
    bench b(tiny);
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 1);
    b.subscribe(2, "t", 100);
    b.settle();
    b.ack(2, 1, 1);
    b.flush();
    const read_request begun{where, {0}, 1u << 20};
    b->on_read(b.now_, begun, b.store_->read(where, begun.from, begun.bytes));
    b.take();
    CHECK(b.reads_.size() == 1);  // asked for again
    b.settle();
    CHECK(b.reads_.empty());
}

TEST_CASE("peeking sees what is durable: from the tail, from the disk, over holes, beyond the end") {
    const auto from_disk = GENERATE(false, true);
    bench b(from_disk ? tiny : driver_settings{});
    const auto where = b.topic("t");
    for (const auto* payload : {"a", "b", "c"}) {
        b.publish(where, 2, payload);
        b.settle();
    }
    b.publish(where, 2, "not durable");
    b.flush();
    // Answers about what is under way wait with it.
    CHECK(b.peek("t", 0).peeks.empty());
    auto seen = b.settle();
    REQUIRE(seen.peeks.size() == 1);
    CHECK(seen.peeks[0].high == sequence{6});
    REQUIRE_FALSE(seen.peeks[0].runs.empty());
    CHECK(payload_of(seen.peeks[0].runs[0]) == "a0");
    CHECK(seen.peeks[0].runs.size() == (from_disk ? 1u : 3u));

    const auto look = [&](std::uint64_t at, std::uint32_t messages) {
        auto peeks = b.peek("t", at, messages).peeks;
        if (peeks.empty()) peeks = b.settle().peeks;
        REQUIRE(peeks.size() == 1);
        return peeks[0];
    };
    CHECK(payload_of(look(3, 1).runs.at(0)) == "b1");
    CHECK(look(99, 10).runs.empty());
    CHECK(look(99, 10).high == sequence{8});

    b.subscribe(2, "t", 100);
    b.settle();
    b.ack(2, 2, 3);
    b.settle();
    CHECK(look(2, 1).runs.at(0).first == sequence{4});  // over the hole
    b.ack(2, 0, 1);
    b.settle();
    CHECK(look(0, 1).start == sequence{4});
    CHECK(look(0, 1).runs.at(0).first == sequence{4});
}

TEST_CASE("a peek gives one message whatever its bytes, and no more than were asked for") {
    bench b;
    const auto where = b.topic("t");
    b.publish(where, 5);
    b.settle();
    auto seen = b.peek("t", 1, 2);
    REQUIRE(seen.peeks.size() == 1);
    CHECK(seen.peeks[0].runs.at(0).first == sequence{1});
    CHECK(seen.peeks[0].runs.at(0).count == 2);
    CHECK(b.peek("t", 4, 10, 1).peeks.at(0).runs.at(0).count == 1);
    CHECK(b.peek("t", 5).peeks.at(0).runs.empty());
    CHECK(b.peek("t", 0, 0).peeks.at(0).runs.empty());
}

TEST_CASE("a peek goes on from batch to batch without leaving one out, and ends where its bytes do") {
    bench b;
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 2);
    const auto all = b.peek("t", 0).peeks.at(0).runs;
    REQUIRE(all.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(all[i].first == sequence{2 * i});
        CHECK(all[i].count == 2);
    }
    CHECK(b.peek("t", 0, 100, 1).peeks.at(0).runs.size() == 1);
    const auto two_batches = static_cast<std::uint32_t>(2 * all[0].records.size());
    CHECK(b.peek("t", 0, 100, two_batches).peeks.at(0).runs.size() == 2);
}

TEST_CASE("a failed read closes who waits for it and refuses a peek") {
    bench b(tiny);
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 1);
    b.subscribe(2, "t", 100);
    b.peek("t", 0);
    REQUIRE_FALSE(b.reads_.empty());
    b->on_read(b.now_, b.reads_.front(), error{errc::corruption, "a damaged block"});
    const auto what = b.take();
    REQUIRE_FALSE(what.closes.empty());
    CHECK(what.closes[0].session == session_id{2});
    CHECK(what.closes[0].why.code == errc::corruption);
    CHECK(refusal(what) == errc::corruption);

    b.reads_.clear();
    b.submit(input::peek{{session_id{8}, request_id{1}}, "t", 0, {}, 100, 1u << 20});
    const auto later = b.settle();
    REQUIRE(later.peeks.size() == 1);  // and the refused one is not answered again
    CHECK(later.peeks[0].to.session == session_id{8});
}

TEST_CASE("a stored entry whose bytes do not parse is a failed read") {
    bench b(tiny);
    const auto where = b.topic("t");
    b.publish_entries(where, 2, 1);
    b.subscribe(2, "t", 100);
    REQUIRE_FALSE(b.reads_.empty());
    std::vector<storage::stored_entry> damaged{{sequence{0}, std::make_shared<std::vector<std::byte>>(100), {}}};
    b->on_read(b.now_, b.reads_.front(), std::move(damaged));
    const auto what = b.take();
    CHECK(what.closes.empty());
    REQUIRE(what.alarms.size() == 1);
    CHECK(what.alarms[0].code == errc::corruption);
    CHECK_THAT(what.alarms[0].what, Catch::StartsWith("partition 0 of topic 't': messages 0 to 0 are damaged in the store and lost"));
}

std::vector<std::uint64_t> firsts_of(const actions& what) {
    std::vector<std::uint64_t> all;
    for (const auto& p : what.pushes) all.push_back(p.run.first.value);
    return all;
}

answers::progress_info progress_of(bench& b) {
    b.settle();
    const auto done = b.submit(input::describe_subscription{{session_id{0}, request_id{9}}, "t", "s"});
    return std::get<answers::subscription_info>(done.answers.at(0).what).partitions.at(0);
}

TEST_CASE("a damaged entry is named and passed over, nothing else is lost") {
    bench b(tiny);
    const auto where = b.topic("t");
    b.publish_entries(where, 4, 2);
    b.damaged_ = sequence{GENERATE(1u, 3u, 7u)};
    const auto lost = b.damaged_->value - 1;
    if (GENERATE(false, true) || lost == 6) b.start_and_wait();  // the core must load what else it has in its window
    b.subscribe(2, "t", 100);
    const auto all = b.settle();
    CHECK(all.closes.empty());
    CHECK_FALSE(all.fatal);
    auto expected = std::vector<std::uint64_t>{0, 2, 4, 6};
    std::erase(expected, lost);
    CHECK(firsts_of(all) == expected);
    REQUIRE_FALSE(all.alarms.empty());
    CHECK_THAT(all.alarms[0].what, Catch::Contains("messages " + std::to_string(lost) + " to " + std::to_string(lost + 1) + " are damaged") && Catch::Contains("12.blob"));
    const auto p = progress_of(b);
    CHECK(p.settled.skipped == 2);
    CHECK(p.leased == 6);
    CHECK(p.ready == 0);
    b.ack(2, 4, 5);
    b.settle();
    CHECK(progress_of(b).settled.acked == 2);
}

TEST_CASE("a peek goes on behind a damaged entry") {
    bench b(tiny);
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 1);
    b.damaged_ = sequence{0};
    b.peek("t", 0);
    const auto seen = b.settle();
    REQUIRE(seen.peeks.size() == 1);
    REQUIRE_FALSE(seen.peeks[0].runs.empty());
    CHECK(seen.peeks[0].runs.front().first == sequence{1});
}

TEST_CASE("a scan that fails is asked for again, one that brings damage sets its subscription aside, and no other") {
    bench b;
    const auto where = b.topic("t");
    b.submit(input::create_subscription{{session_id{0}, request_id{2}}, "t", "other", {}, {}});
    b.publish(where, 5);
    b.settle();
    b.start_and_wait();
    b.subscribe(2, "t", 100);
    REQUIRE(b.scans_.size() == 1);
    const auto request = b.scans_.front();
    b.scans_.clear();
    SECTION("failed") {
        b->on_scanned(b.now_, request, error{errc::storage_failure, "no disk"});
        const auto what = b.take();
        CHECK(what.alarms.size() == 1);
        CHECK(b.scans_.empty());
        CHECK(b.pass(duration{1'000}).scans.size() == 1);
        CHECK(b.settle().pushes.size() == 1);
    }
    SECTION("damaged") {
        if (GENERATE(false, true))
            b->on_scanned(b.now_, request, std::vector<row>{{block_key(subscription_id{1}, 0, 0), "?"}});
        else
            b->on_scanned(b.now_, request, error{errc::corruption, "block checksum mismatch in 12.sst"});
        const auto what = b.take();
        CHECK_FALSE(what.fatal);
        REQUIRE(what.ended.size() == 1);
        CHECK(what.ended[0].why.code == errc::inconsistent);
        CHECK(refusal(b.subscribe(3, "t", 100)) == errc::inconsistent);
        b.submit(input::subscribe{{session_id{4}, request_id{1}}, consumer_id{1}, "t", "other", "", 100, 1'000, {}});
        CHECK(b.settle().pushes.size() == 1);
    }
}

TEST_CASE("a subscription that is recovered in quarantine is named when the driver starts") {
    bench b;
    b.publish(b.topic("t"), 5);
    b.settle();
    auto stored = encode(progress_row{subscription_id{1}, 0, {0}, {3}, {}});
    b.store_->commit(shard_id{0}, b.epoch_, {put_row{stored.key, stored.value}}, [](error failed) { REQUIRE_FALSE(failed); });
    b.start();
    const auto what = b.take();
    REQUIRE(what.alarms.size() == 1);
    CHECK(what.alarms[0].code == errc::inconsistent);
    CHECK_THAT(what.alarms[0].what, Catch::Contains("it counts 0 settled messages, and its cursor has passed 3"));
}

}  // namespace
}  // namespace millrace::driver

// A disk that fills: what is refused below the reserve, what may go on, and what waits until there is room.
#include "broker/driver/driver.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "proto/record.hpp"
#include "tests/driver/dead_letters.hpp"

namespace millrace::driver {
namespace {

using namespace core;

constexpr storage::disk_space full{63u << 20, 64u << 20};
constexpr storage::disk_space roomy{512u << 20, 64u << 20};

TEST_CASE("below the reserve what is new is refused before the core hears of it, and what is there can be settled") {
    bench b;
    const auto where = b.topic("t");
    b.publish(where, 3);
    b.settle();
    b->on_space(b.now_, full);
    CHECK(refusal(b.publish(where, 1)) == errc::disk_full);
    CHECK(refusal(b.submit(input::create_topic{{session_id{0}, request_id{1}}, "u", {}})) == errc::disk_full);
    CHECK(refusal(b.submit(input::create_subscription{{session_id{0}, request_id{1}}, "t", "u", {}, {}})) == errc::disk_full);
    auto malformed = proto::numbered_records(1, "x");
    malformed.back() ^= std::byte{1};
    CHECK(refusal(b.publish_bytes(where, 1, malformed)) == errc::checksum_mismatch);
    CHECK(b->idle());

    CHECK(b.subscribe(2, "t", 2).pushes.size() == 1);
    b.settle();
    b.ack(2, 0, 0);
    CHECK(b.settle().answers.size() == 1);
    b.submit(input::purge_topic{{session_id{0}, request_id{1}}, "t"});
    CHECK(b.settle().answers.size() == 1);
    b->on_space(b.now_, roomy);
    b.publish(where, 1);
    CHECK(std::get<answers::published>(b.settle().answers.at(0).what).first == sequence{3});
}

TEST_CASE("what is under way when it is looked counts, and a look is asked for when much has been taken") {
    bench b;
    const auto where = b.topic("t");
    b->on_space(b.now_, roomy);
    b->on_space(b.now_, storage::disk_space{66u << 20, 64u << 20});
    CHECK_FALSE(b.publish(where, 1, std::string(1u << 20, 'x')).wants_space);
    CHECK(b.publish(where, 1, std::string(1u << 20, 'x')).wants_space);
    b.flush();
    b->on_space(b.now_, storage::disk_space{66u << 20, 64u << 20});  // nothing is written yet
    CHECK(refusal(b.publish(where, 1)) == errc::disk_full);
    b.commit_one();
    b->on_space(b.now_, storage::disk_space{80u << 20, 64u << 20});
    CHECK(b.publish(where, 1).empty());
}

TEST_CASE("a named batch that was taken is answered as before on a full disk, a new one is refused, and the gap refuses what follows") {
    bench b;
    const auto where = b.topic("t");
    b.submit(input::open_producer{{session_id{1}, request_id{1}}, "web", 1, false});
    const auto opened = std::get<answers::producer_opened>(b.settle().answers.at(0).what);
    const auto batch = [&](std::uint64_t number) {
        const auto bytes = proto::numbered_records(1, "batch " + std::to_string(number));
        b->publish(b.now_, {{session_id{1}, request_id{10 + number}}, where, 1, durability::memory, bytes, {opened.id, opened.epoch, number, 0}});
        return b.settle();
    };
    batch(1);
    b->on_space(b.now_, full);
    CHECK(refusal(batch(2)) == errc::disk_full);
    CHECK(refusal(batch(3)) == errc::batch_gap);
    CHECK(std::get<answers::published>(batch(1).answers.at(0).what).first == sequence{0});
    b->on_space(b.now_, roomy);
    CHECK(refusal(batch(3)) == errc::batch_gap);
    CHECK(std::get<answers::published>(batch(2).answers.at(0).what).first == sequence{1});
}

constexpr storage::disk_space half_reserve{32u << 20, 64u << 20};

/// To the topic "dead".
std::uint64_t moved(bench& b) {
    const auto described = b.submit(input::describe_topic{{session_id{0}, request_id{1}}, "dead"});
    return std::get<answers::topic_info>(described.answers.at(0).what).partitions.at(0).high.value;
}

TEST_CASE("the dead move while publishing is refused: the entries that they are in would keep the disk full") {
    bench b;
    const auto where = with_dead_letters(b);
    b->on_space(b.now_, full);
    CHECK(refusal(b.publish(where, 1)) == errc::disk_full);
    reject(b, 1);
    b.settle();
    CHECK(dead_letters(b).size() == 1);
}

TEST_CASE("no more of the dead move between two looks than leaves half of the reserve") {
    bench b;
    with_dead_letters(b, std::string(300u << 10, 'x'));
    b->on_space(b.now_, storage::disk_space{half_reserve.free + (1u << 20), half_reserve.reserve});  // each takes twice its size
    for (const auto at : {0, 1, 2}) reject(b, at);
    b.settle();
    CHECK(moved(b) == 1);
    b->on_space(b.now_, storage::disk_space{half_reserve.free + (2u << 20), half_reserve.reserve});
    b.settle();
    CHECK(moved(b) == 3);
}

TEST_CASE("the dead stay where they are while half of the reserve is gone, over a restart too, and move once when there is room") {
    bench b(GENERATE(false, true) ? tiny : driver_settings{});
    with_dead_letters(b);
    b->on_space(b.now_, half_reserve);
    reject(b, 1);
    reject(b, 2);
    b.settle();
    CHECK(b->idle());
    b.pass(std::chrono::minutes{1});
    b.settle();
    const auto restarted = GENERATE(false, true);
    if (restarted) {
        b.start();
        b->on_space(b.now_, half_reserve);
        b.pass(std::chrono::seconds{0});
        b.pass(shard_settings{}.adoption_wait);
        b.settle();
    }
    CHECK(moved(b) == 0);
    b->on_space(b.now_, roomy);
    b.settle();
    CHECK(dead_letters(b).size() == 2);
    b->on_space(b.now_, roomy);
    b.settle();
    CHECK(b->idle());
}

}  // namespace
}  // namespace millrace::driver

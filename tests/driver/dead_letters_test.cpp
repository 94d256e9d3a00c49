// Dead messages go to their dead letter topic once, whatever happens in between.
#include "broker/driver/driver.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "tests/driver/dead_letters.hpp"

namespace millrace::driver {
namespace {

using namespace core;

TEST_CASE("a dead message is handed over when its death is durable: from the tail, from the disk") {
    bench b(GENERATE(false, true) ? tiny : driver_settings{});
    with_dead_letters(b);
    reject(b, 1);
    CHECK(b.flush().commits.size() == 1);
    CHECK_FALSE(b->shard().next_deadline() == std::nullopt);
    b.settle();
    const auto letters = dead_letters(b);
    REQUIRE(letters.size() == 1);
    CHECK(letters[0].first == "photo1");
    CHECK(letters[0].second == proto::dead_origin{"t", "s", 0, {1}, 1, "not a photo"});
    CHECK(b->idle());
}

TEST_CASE("a restart between death and hand-over, or before its commit, makes it once") {
    bench b(GENERATE(false, true) ? tiny : driver_settings{});
    with_dead_letters(b);
    reject(b, 0);
    reject(b, 2);
    b.flush();
    b.commit_one();  // and the hand-overs begin
    if (GENERATE(false, true)) b.flush();
    for (int i = 0; i < 2; ++i) {
        b.start_and_wait();
        b.settle();
    }
    const auto letters = dead_letters(b);
    REQUIRE(letters.size() == 2);
    CHECK(letters[0].first + letters[1].first == "photo0photo2");
}

TEST_CASE("a hand-over whose read fails is read for again, one whose target is missing waits for it") {
    bench b(tiny);
    const auto where = with_dead_letters(b);
    b.publish(where, 1);  // pushes the dead one's entry out of the tail
    b.settle();
    SECTION("read") {
        b.submit(input::peek{{session_id{7}, request_id{1}}, "t", 0, {3}, 1, 1});  // and out of the read cache
        b.settle();
        reject(b, 1);
        b.flush();
        b.commit_one();
        REQUIRE(b.reads_.size() == 1);
        const auto request = b.reads_.front();
        b.reads_.clear();
        b->on_read(b.now_, request, error{errc::corruption, "a damaged block"});
        b.settle();
        CHECK(dead_letters(b).empty());
        b.pass(duration{1'000});
        CHECK(b.settle().pushes.size() == 1);
    }
    SECTION("target") {
        b.submit(input::delete_topic{{session_id{0}, request_id{3}}, "dead", true});
        b.settle();
        reject(b, 1);
        b.settle();
        b.topic("dead");
        CHECK(dead_letters(b).empty());
        b.pass(duration{1'000});
        CHECK(b.settle().pushes.size() == 1);
    }
}

/// What stands in front of the fourth message of topic t, in which there are three, must be read from now on. REQUIRES tiny caches.
void push_out_of_caches(bench& b, partition_id where) {
    b.publish(where, 1);  // out of the tail
    b.settle();
    b.submit(input::peek{{session_id{7}, request_id{1}}, "t", 0, {3}, 1, 1});  // and out of the read cache
    b.settle();
}

TEST_CASE("a dead message whose topic is deleted while it is read stays dead, and is not read for again") {
    bench b(tiny);
    push_out_of_caches(b, with_dead_letters(b));
    reject(b, 1);
    b.flush();
    b.commit_one();
    REQUIRE(b.reads_.size() == 1);
    b.submit(input::delete_topic{{session_id{0}, request_id{3}}, "t", true});
    b.flush();
    b.commit_one();
    b.read_one();
    CHECK(b.reads_.empty());
    b.settle();
    CHECK(dead_letters(b).empty());
    CHECK(b->idle());
}

TEST_CASE("a damaged message that is dead stays dead, under its row") {
    bench b(tiny);
    push_out_of_caches(b, with_dead_letters(b));
    b.damaged_ = sequence{2};
    reject(b, 1);
    b.settle();
    b.pass(duration{5'000});
    b.settle();
    CHECK(b.reads_.empty());
    CHECK(dead_letters(b).empty());
    CHECK(b.store_->scan({"H", "I"}, 10).value().size() == 1);
}

}  // namespace
}  // namespace millrace::driver

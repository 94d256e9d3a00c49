// What nobody reads is read again in the background, at a set rate; damage is found, named and passed over.
#include <catch2/catch.hpp>

#include "tests/driver/bench.hpp"

namespace millrace::driver {
namespace {

constexpr driver_settings scrubbing{.scrub_bytes_per_second = 10'000};

/// Lets the scrubber read until it rests; what it said.
std::vector<error> pass_of(bench& b) {
    std::vector<error> told;
    const auto listen = [&](const actions& done) { told.insert(told.end(), done.alarms.begin(), done.alarms.end()); };
    listen(b.settle());
    for (auto due = b->next_deadline(); due && *due - b.now_ < std::chrono::hours{1}; due = b->next_deadline()) {
        b.now_ = std::max(b.now_, *due);
        listen(b.pass(duration{0}));
        listen(b.settle());
    }
    return told;
}

}  // namespace

TEST_CASE("a pass reads all that is kept, of every partition, at the rate that is set, the next begins a day after it") {
    bench b(scrubbing);
    const auto photos = b.topic("photos");
    const auto films = b.topic("films");
    b.publish_entries(photos, 30, 10);
    b.publish_entries(films, 5, 10);
    std::uint64_t stored = 0;
    for (const auto where : {photos, films}) {
        const auto entries = b.store_->read(where, {}, ~std::size_t{0});
        for (const auto& e : entries.value()) stored += e.bytes->size();
    }
    const auto began = b.now_;
    CHECK(pass_of(b).empty());
    CHECK(b->counted().scrub_passes == 1);
    CHECK(b->counted().scrubbed_bytes == stored);
    CHECK(b.now_ - began == std::chrono::microseconds(stored * 100));  // 10 000 a second
    CHECK(*b->next_deadline() == began + std::chrono::days{1});
}

TEST_CASE("the next pass reads it all again") {
    bench b(scrubbing);
    b.publish_entries(b.topic("photos"), 3, 10);
    b.publish_entries(b.topic("films"), 2, 10);
    CHECK(pass_of(b).empty());
    const auto once = b->counted().scrubbed_bytes;
    b.now_ = *b->next_deadline();
    CHECK(pass_of(b).empty());
    CHECK(b->counted().scrub_passes == 2);
    CHECK(b->counted().scrubbed_bytes == 2 * once);
}

TEST_CASE("what cannot be read is told of, and read again a minute later") {
    bench b(scrubbing);
    const auto photos = b.topic("photos");
    b.publish_entries(photos, 2, 5);
    b.start_and_wait();
    REQUIRE(b.reads_.size() == 1);
    const auto request = b.reads_.front();
    b.reads_.pop_front();
    b->on_read(b.now_, request, error{errc::storage_failure, "a disk that does not answer"});
    CHECK(b.take().alarms.size() == 1);
    CHECK(b.reads_.empty());
    CHECK(*b->next_deadline() == b.now_ + std::chrono::minutes{1});
    b.pass(std::chrono::minutes{1});
    REQUIRE(b.reads_.size() == 1);
    CHECK(b.reads_.front().partition == photos);
    CHECK(b.reads_.front().from == request.from);
}

TEST_CASE("damage that no consumer has met is named, counted and passed over, and what stands beside it is delivered") {
    bench b(scrubbing);
    const auto photos = b.topic("photos");
    b.publish_entries(photos, 3, 2);
    b.start_and_wait();  // nothing is in memory
    b.damaged_ = sequence{3};
    const auto told = pass_of(b);
    REQUIRE(told.size() == 1);
    CHECK(told[0].what.find("messages 2 to 3 are damaged in the store and lost") != std::string::npos);
    CHECK(b->counted().damaged_messages == 2);
    b.damaged_.reset();
    b.subscribe(1, "photos", 100);
    std::vector<std::uint64_t> got;
    const auto done = b.settle();
    for (const auto& p : done.pushes)
        for (std::uint64_t i = 0; i < p.run.count; ++i) got.push_back(p.run.first.value + i);
    CHECK(got == std::vector<std::uint64_t>{0, 1, 4, 5});
}

TEST_CASE("the scrubber keeps nothing in memory that nobody asked for, and hands over what somebody waits for meanwhile") {
    bench b(scrubbing);
    const auto photos = b.topic("photos");
    b.publish_entries(photos, 1, 5);
    b.start_and_wait();
    REQUIRE(b.reads_.size() == 1);  // the scrubber's, under way
    SECTION("nobody waits") {
        b.read_one();
        b.peek("photos", 0);
        CHECK(b.reads_.size() == 1);
        CHECK(b.settle().peeks.size() == 1);
    }
    SECTION("somebody does") {
        b.peek("photos", 0);
        CHECK(b.reads_.size() == 1);
        CHECK(b.read_one().peeks.size() == 1);
    }
}

TEST_CASE("without a rate nothing is read") {
    bench b;
    b.publish_entries(b.topic("photos"), 3, 2);
    b.start_and_wait();
    b.pass(std::chrono::days{2});
    CHECK(b.reads_.empty());
    CHECK(b->counted().scrubbed_bytes == 0);
}

}  // namespace millrace::driver

// The driver step by step: what it refuses, when it commits, what it counts.
#include "broker/driver/driver.hpp"

#include <catch2/catch.hpp>
#include <optional>

#include "proto/record.hpp"
#include "tests/driver/bench.hpp"

namespace millrace::driver {
namespace {

using namespace core;

TEST_CASE("a batch is verified before it is believed") {
    bench b;
    const auto where = b.topic("t");
    auto bytes = proto::numbered_records(3, "x");
    CHECK(refusal(b.publish_bytes(where, 0, {})) == errc::invalid_argument);
    CHECK(refusal(b.publish_bytes(where, 2, bytes)) == errc::malformed_record);
    CHECK(refusal(b.publish_bytes(where, 4, bytes)) == errc::malformed_record);
    bytes.back() ^= std::byte{1};
    CHECK(refusal(b.publish_bytes(where, 3, bytes)) == errc::checksum_mismatch);
    CHECK(b->idle());
    CHECK(refusal(b.publish({where.topic, 5}, 1)) == errc::no_such_partition);
}

TEST_CASE("a publish is answered, and pushed, when its group is committed") {
    bench b;
    const auto where = b.topic("t");
    b.subscribe(2, "t", 100);
    CHECK(b.publish(where, 2, "a").empty());
    CHECK(b.publish(where, 1, "b").empty());
    CHECK(b.flush().commits.size() == 1);
    const auto done = b.commit_one();
    REQUIRE(done.answers.size() == 2);
    CHECK(std::get<answers::published>(done.answers[1].what).first == sequence{2});
    REQUIRE(done.pushes.size() == 2);
    CHECK(done.pushes[0].run.count == 2);
    CHECK(payload_of(done.pushes[0].run, 1) == "a1");
    CHECK(done.pushes[1].run.first == sequence{2});
    CHECK(payload_of(done.pushes[1].run) == "b0");
    CHECK(done.pushes[1].run.appended_at == b.now_);
    CHECK(b->idle());
}

TEST_CASE("an entry has room for as much as the one before it had, and keeps no more than it needs twice") {
    bench b;
    const auto where = b.topic("t");
    const auto entry_of = [&](std::uint32_t messages) {
        for (std::uint32_t i = 0; i < messages; ++i) b.publish(where, 1, std::string(1000, 'x'));
        b.flush();
        const auto bytes = std::get<append_entry>(b.pending_.front().mutations.front()).bytes;
        b.commit_one();
        return bytes;
    };
    const auto grown = entry_of(100);
    const auto again = entry_of(100);
    REQUIRE(again->size() == grown->size());
    CHECK(again->capacity() == again->size());
    const auto alone = entry_of(1);
    CHECK(alone->capacity() <= 2 * alone->size());
    const auto after = entry_of(2);
    CHECK(after->capacity() <= 2 * after->size());
}

TEST_CASE("three groups are under way at most") {
    bench b;
    const auto where = b.topic("t");
    for (int i = 0; i < 5; ++i) {
        b.publish(where, 1);
        b.flush();
    }
    CHECK(b->groups_in_flight() == 3);
    CHECK(b.pending_.size() == 3);
    CHECK(b.commit_one().answers.size() == 1);
    CHECK(b.flush().commits.size() == 1);
    b.commit_one();
    b.commit_one();
    CHECK(b.commit_one().answers.size() == 2);
    CHECK(b->idle());
}

TEST_CASE("what was on its way to a consumer that leaves in the same turn does not go out behind its leaving") {
    bench b;
    const auto where = b.topic("t");
    b.publish_entries(where, 3, 2);
    b->submit(b.now_, input::subscribe{{session_id{2}, request_id{1}}, consumer_id{1}, "t", "s", "", 100, 100'000'000, {}});
    b->submit(b.now_, input::subscribe{{session_id{2}, request_id{2}}, consumer_id{2}, "t", "s", "", 100, 100'000'000, {}});
    b->submit(b.now_, input::unsubscribe{{session_id{2}, request_id{3}}, consumer_id{1}});
    const auto all = b.settle();
    CHECK(all.pushes.size() == 3);
    for (const auto& p : all.pushes) CHECK(p.consumer == consumer_id{2});
}

TEST_CASE("a batch may have as many messages, and as many bytes, as is promised, one message alone may have more") {
    bench b;
    const auto where = b.topic("t");
    const auto append_record = [](std::size_t bytes, std::vector<std::byte>& out) {
        const auto before = out.size();
        proto::record_encoder encoder;
        message m;
        m.payload.assign(bytes, 'x');
        do {
            out.resize(before);
            m.payload.pop_back();  // until there is room for what a record has around it
            REQUIRE_FALSE(encoder.append(m, proto::compression::none, out));
        } while (out.size() - before > bytes);
        REQUIRE(out.size() - before == bytes);
    };
    const auto published = [&](std::uint32_t count, std::size_t bytes) {
        std::vector<std::byte> records;
        for (auto left = count; left > 0; --left) append_record((bytes - records.size()) / left, records);
        if (const auto refused = b.publish_bytes(where, count, records); !refused.answers.empty()) return refusal(refused);
        return std::holds_alternative<answers::published>(b.settle().answers.at(0).what) ? errc::ok : errc::canceled;
    };
    CHECK(published(2, limits::batch_bytes) == errc::ok);
    CHECK(published(2, limits::batch_bytes + 16) == errc::batch_too_large);
    CHECK(published(1, limits::batch_bytes + 8) == errc::ok);
    b.publish(where, limits::batch_messages);
    CHECK(std::holds_alternative<answers::published>(b.settle().answers.at(0).what));
    CHECK(refusal(b.publish(where, limits::batch_messages + 1)) == errc::batch_too_large);
}

TEST_CASE("a failed commit is fatal") {
    bench b;
    b.publish(b.topic("t"), 1);
    b.flush();
    b->on_committed(b.now_, b.pending_.front().number, {errc::outcome_unknown, "the disk is gone"});
    const auto what = b.take();
    CHECK(what.fatal.code == errc::outcome_unknown);
    CHECK(what.answers.empty());
}

TEST_CASE("a topic deleted in the group that published to it leaves nothing") {
    bench b;
    const auto where = b.topic("t");
    b.publish(where, 3);
    b.submit(input::delete_topic{{session_id{0}, request_id{3}}, "t", false});
    const auto all = b.settle();
    CHECK(all.answers.size() == 2);
    CHECK_FALSE(all.fatal);
    CHECK(b->idle());
    CHECK(b.store_->read(where, {}, 1u << 20).value().empty());
    CHECK(refusal(b.publish(where, 1)) == errc::no_such_topic);
}

TEST_CASE("figures come in pages that end when so many partitions, and subscriptions in them, were looked at") {
    bench b;
    for (const auto* name : {"a", "b", "c"}) b.topic(name);  // each has a partition, and a subscription in it
    b.submit(input::create_subscription{{session_id{0}, request_id{2}}, "c", "other", {}, {}});
    b.settle();
    const auto names = [&](topic_id after, std::size_t partitions) {
        std::string all;
        for (const auto& f : b->shard().figures_after(after, partitions)) all += f.name;
        return all;
    };
    CHECK(names({}, 1) == "a");
    CHECK(names({}, 2) == "a");
    CHECK(names({}, 3) == "ab");
    CHECK(names({}, 4) == "ab");
    CHECK(names({}, 5) == "abc");
    CHECK(names(topic_id{1}, 3) == "bc");
    CHECK(names(topic_id{3}, 3).empty());
}

TEST_CASE("everything comes again after a restart") {
    bench b;
    const auto where = b.topic("t");
    b.publish(where, 10);
    b.settle();
    b.subscribe(2, "t", 4);
    b.ack(2, 1, 2);
    b.settle();
    b.start_and_wait();
    b.subscribe(3, "t", 100);
    const auto all = b.settle();
    REQUIRE(all.pushes.size() == 2);
    CHECK(all.pushes[0].run.count == 1);
    CHECK(all.pushes[1].run.first == sequence{3});
    CHECK(all.pushes[1].run.count == 7);
    CHECK(payload_of(all.pushes[1].run) == "m3");
}

TEST_CASE("only a broker wraps a message: a forged envelope is refused") {
    bench b;
    const auto where = b.topic("t");
    std::vector<std::byte> envelope;
    REQUIRE_FALSE(proto::append_envelope({"x", "s", 0, {1}, 1, "bad"}, proto::numbered_records(1, "m"), envelope));
    CHECK(refusal(b.publish_bytes(where, 1, envelope)) == errc::malformed_record);
    CHECK(b->idle());
}

TEST_CASE("what is durable is counted, what is delivered, acked and refused") {
    bench d;
    const auto where = d.topic("photos");
    const auto before = d->counted();
    d.publish(where, 3);
    d.publish(where, 2);
    d.flush();
    CHECK(d->counted().published_messages == before.published_messages);  // not yet
    d.pass(std::chrono::milliseconds{7});
    d.settle();
    auto now = d->counted();
    CHECK(now.published_messages == 5);
    CHECK(now.published_bytes == proto::numbered_records(3, "m").size() + proto::numbered_records(2, "m").size());
    CHECK(now.commit_messages.count() == before.commit_messages.count() + 1);
    CHECK(now.commit_messages.sum() == 5);
    CHECK(now.commit_bytes.sum() == now.published_bytes);
    CHECK(now.commit_microseconds.sum() - before.commit_microseconds.sum() == 7'000);
    CHECK(now.refused == before.refused);

    d.subscribe(2, "photos", 4);
    d.settle();
    d.ack(2, 0, 2);
    d.settle();
    d.publish({core::topic_id{99}, 0}, 1);
    now = d->counted();
    CHECK(now.delivered_messages == 4);
    CHECK(now.acked_messages == 3);
    CHECK(now.refused == std::map<errc, std::uint64_t>{{errc::no_such_topic, 1}});
    CHECK(now.published_messages == 5);
}

}  // namespace
}  // namespace millrace::driver

// The driver step by step: what it refuses, when it commits, where it finds bytes, what it does when the store fails.
#include "broker/driver/driver.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <optional>

#include "broker/storage/memory_store.hpp"
#include "proto/record.hpp"
#include "tests/driver/bench.hpp"

namespace millrace::driver {
namespace {

using namespace core;

errc refusal(const actions& a) {
    REQUIRE(a.answers.size() == 1);
    const auto* refused = std::get_if<error>(&a.answers[0].what);
    return refused ? refused->code : errc::ok;
}

std::string payload_of(const record_run& run, std::uint32_t index = 0) {
    auto rest = run.records;
    for (; index > 0; --index) rest = rest.subspan(*proto::record_length(rest));
    message m;
    REQUIRE_FALSE(proto::decode_record(rest.first(*proto::record_length(rest)), m));
    return m.payload;
}

const driver_settings tiny{1, 1, 2};

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

TEST_CASE("two groups are under way at most") {
    bench b;
    const auto where = b.topic("t");
    for (int i = 0; i < 5; ++i) {
        b.publish(where, 1);
        b.flush();
    }
    CHECK(b->groups_in_flight() == 2);
    CHECK(b.pending_.size() == 2);
    CHECK(b.commit_one().answers.size() == 1);
    CHECK(b.flush().commits.size() == 1);
    b.commit_one();
    CHECK(b.commit_one().answers.size() == 3);
    CHECK(b->idle());
}

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

TEST_CASE("a failed commit is fatal") {
    bench b;
    b.publish(b.topic("t"), 1);
    b.flush();
    b->on_committed(b.now_, b.pending_.front().number, {errc::outcome_unknown, "the disk is gone"});
    const auto what = b.take();
    CHECK(what.fatal.code == errc::outcome_unknown);
    CHECK(what.answers.empty());
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

/// Topic "t" with one published batch of three, whose dead letters go to "dead"; everything of it is held by session 2.
partition_id with_dead_letters(bench& b, const std::string& payload = "photo") {
    b.topic("dead");
    const auto where = b.topic("t");
    subscription_changes changes;
    changes.dead_letter = "dead";
    b.submit(input::update_subscription{{session_id{0}, request_id{3}}, "t", "s", changes});
    b.publish(where, 3, payload);
    b.settle();
    b.subscribe(2, "t", 100);
    b.settle();
    return where;
}

void reject(bench& b, std::uint64_t at) {
    b.submit(input::reject{{session_id{2}, request_id{9}}, consumer_id{1}, {{0, {at}, {at}, 1}}, "not a photo"});
}

/// What a consumer of "dead" is given, as message and origin.
std::vector<std::pair<std::string, proto::dead_origin>> dead_letters(bench& b) {
    auto pushes = b.subscribe(3, "dead", 100).pushes;
    auto later = b.settle().pushes;
    pushes.insert(pushes.end(), later.begin(), later.end());
    std::vector<std::pair<std::string, proto::dead_origin>> found;
    for (const auto& p : pushes) {
        for (auto rest = p.run.records; !rest.empty(); rest = rest.subspan(*proto::record_length(rest))) {
            message m;
            std::optional<proto::dead_origin> died;
            REQUIRE_FALSE(proto::decode_record(rest.first(*proto::record_length(rest)), m, &died));
            REQUIRE(died);
            found.emplace_back(m.payload, *died);
        }
    }
    return found;
}

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

// ---- a disk that fills ----

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

TEST_CASE("only a broker wraps a message: a forged envelope is refused") {
    bench b;
    const auto where = b.topic("t");
    std::vector<std::byte> envelope;
    REQUIRE_FALSE(proto::append_envelope({"x", "s", 0, {1}, 1, "bad"}, proto::numbered_records(1, "m"), envelope));
    CHECK(refusal(b.publish_bytes(where, 1, envelope)) == errc::malformed_record);
    CHECK(b->idle());
}

}  // namespace
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

}  // namespace millrace::driver

// Several shards of one broker, on one store; parcels, commits and crashes come when the test says.
#include "broker/driver/router.hpp"

#include <algorithm>
#include <set>

#include "broker/driver/open_shard.hpp"
#include "tests/driver/bench.hpp"

namespace millrace::driver {
namespace {

constexpr request_id any_request{77};

/// Sessions whose home is shard n are n + count, n + 2 count …: `at(n)` is the first.
class shards {
public:
    explicit shards(std::uint32_t count = 3) { start(count); }

    /// Everything that was under way is lost, but for what was committed.
    void start(std::uint32_t count) {
        all_.clear();
        parcels_.clear();
        auto opened = open_shards(*store_, count, {});
        REQUIRE(opened);
        for (std::uint32_t i = 0; i < count; ++i) {
            epochs_.push_back(opened.value()[i].epoch);
            all_.push_back(std::make_unique<router>(std::move(opened.value()[i].shard), driver_settings{}, shard_place{i, count}));
        }
        epochs_.erase(epochs_.begin(), epochs_.end() - count);
    }

    std::uint32_t count() const { return static_cast<std::uint32_t>(all_.size()); }
    session_id at(std::uint32_t shard) const { return session_id{shard + count()}; }
    router& operator[](std::uint32_t shard) { return *all_[shard]; }
    const shard& core(std::uint32_t shard) const { return all_[shard]->own().shard(); }

    void submit(std::uint32_t home, any_input in) { all_[home]->submit(now_, std::move(in)); }

    /// Lets each loop turn until nothing is left to do. Parcels for shards in `held` stay where they are.
    actions settle(const std::set<std::uint32_t>& held = {}) {
        actions left;
        for (auto moved = true; moved;) {
            moved = false;
            for (std::uint32_t i = 0; i < count(); ++i) moved |= turn(i, left);
            for (auto it = parcels_.begin(); it != parcels_.end();) {
                if (held.contains(it->to)) {
                    ++it;
                    continue;
                }
                auto p = std::move(*it);
                it = parcels_.erase(it);
                ++carried_;
                all_[p.to]->take(now_, p.from, std::move(p.what));
                moved = true;
            }
        }
        return left;
    }

    void pass(duration time) {
        now_ += time;
        for (auto& r : all_) r->own().on_time(now_);
    }

    /// The answer to a request of a session of shard `home`.
    any_answer ask(std::uint32_t home, any_input in) {
        submit(home, std::move(in));
        const auto done = settle();
        for (const auto& a : done.answers)
            if (a.to == origin{at(home), any_request}) return a.what;
        FAIL("there was no answer");
        return {};
    }

    template <class T>
    T ask_for(std::uint32_t home, any_input in) {
        auto got = ask(home, std::move(in));
        if (const auto* refused = std::get_if<error>(&got)) FAIL(to_string(*refused));
        return std::get<T>(got);
    }

    origin from(std::uint32_t home) const { return {at(home), any_request}; }

    topic_id topic(const std::string& name, std::uint32_t home = 0) { return ask_for<answers::topic_info>(home, input::create_topic{from(home), name, {}}).id; }

    void subscription(const std::string& topic, const std::string& dead_letter = {}) {
        subscription_changes changes;
        changes.max_deliveries = 1;
        changes.dead_letter = dead_letter;
        ask_for<answers::subscription_info>(0, input::create_subscription{from(0), topic, "s", changes, {}});
    }

    void publish(std::uint32_t home, topic_id where, std::uint32_t messages, batch_claim claim = {}) {
        const auto records = proto::numbered_records(messages, "m");
        all_[home]->publish(now_, {from(home), {where, 0}, messages, durability::memory, records, claim});
    }

    void subscribe(std::uint32_t home, const std::string& topic, std::uint32_t consumer = 1, std::uint32_t messages = 100) {
        submit(home, input::subscribe{{at(home), request_id{1000 + consumer}}, consumer_id{consumer}, topic, "s", "", messages, 1u << 20, {}});
    }

    answers::progress_info progress(const std::string& topic) {
        return ask_for<answers::subscription_info>(0, input::describe_subscription{from(0), topic, "s"}).partitions.at(0);
    }

    std::size_t rows(const std::string& table) { return store_->scan({table, std::string(1, static_cast<char>(table[0] + 1))}, 1000).value().size(); }

    /// Parcels, so far.
    std::size_t carried() const { return carried_; }

    timestamp now_{std::chrono::seconds{1}};

private:
    struct on_its_way {
        std::uint32_t from, to;
        parcel what;
    };

    bool turn(std::uint32_t index, actions& left) {
        auto& r = *all_[index];
        auto moved = false;
        r.own().flush(now_);
        for (auto a = r.take_actions(now_); !a.empty(); a = r.take_actions(now_)) {
            moved = true;
            REQUIRE_FALSE(a.fatal);
            for (auto& one : a.answers) left.answers.push_back(std::move(one));
            for (auto& one : a.pushes) left.pushes.push_back(std::move(one));
            for (auto& one : a.peeks) left.peeks.push_back(std::move(one));
            for (auto& one : a.ended) left.ended.push_back(std::move(one));
            for (auto& g : a.commits) {
                store_->commit(shard_id{index}, epochs_[index], std::move(g.mutations), [](const error& failed) { REQUIRE_FALSE(failed); });
                r.own().on_committed(now_, g.number, {});
                r.own().flush(now_);
            }
            for (const auto& wanted : a.reads) r.own().on_read(now_, wanted, store_->read(wanted.partition, wanted.from, wanted.bytes));
            for (const auto& wanted : a.scans) r.own().on_scanned(now_, wanted, store_->scan(wanted.range, wanted.limit));
        }
        for (auto& sent : r.take_parcels()) {
            moved = true;
            parcels_.push_back({index, sent.to, std::move(sent.what)});
        }
        return moved;
    }

    std::unique_ptr<storage::store> store_ = storage::make_memory_store();
    std::vector<fencing_epoch> epochs_;
    std::vector<std::unique_ptr<router>> all_;
    std::vector<on_its_way> parcels_;
    std::size_t carried_ = 0;
};

/// Publishes a message to "photos", and has it rejected; what comes of that is under way.
void kill_a_photo(shards& b, topic_id photos) {
    b.publish(1, photos, 1);
    b.subscribe(1, "photos");
    b.settle();
    b.submit(1, input::reject{b.from(1), consumer_id{1}, {{0, {0}, {0}, 1}}, "not a photo"});
}

}  // namespace

TEST_CASE("a topic is one shard's, and any session may use it") {
    shards b;
    for (const auto* name : {"one", "two", "three"}) b.topic(name);
    for (const auto* name : {"one", "two", "three"}) b.subscription(name);
    CHECK(b.core(1).topic_named("three") == topic_id{3});
    for (std::uint32_t home = 0; home < 3; ++home)
        for (std::uint32_t topic = 1; topic <= 3; ++topic) b.publish(home, topic_id{topic}, 2);
    const auto published = b.settle();
    CHECK(published.answers.size() == 9);
    b.subscribe(0, "two");
    const auto given = b.settle();
    CHECK(given.answers.size() == 1);
    std::uint64_t messages = 0;
    for (const auto& p : given.pushes) messages += p.run.count;
    CHECK(messages == 6);
    CHECK(std::get<answers::acked>(b.ask(0, input::ack{b.from(0), consumer_id{1}, {{0, {0}, {5}, 1}}})).lost.empty());
    CHECK(b.progress("two").settled.acked == 6);
    CHECK(b.progress("one").ready == 6);
}

TEST_CASE("a change of the catalog is answered when every shard has learned of it") {
    shards b;
    b.submit(1, input::create_topic{b.from(1), "photos", {}});
    CHECK(b.settle({2}).answers.empty());  // the third has not heard of it yet
    CHECK(b.settle().answers.size() == 1);
    for (std::uint32_t shard = 0; shard < 3; ++shard) CHECK(b.core(shard).topic_named("photos"));
    CHECK(std::get<error>(b.ask(2, input::create_topic{b.from(2), "photos", {}})).code == errc::topic_exists);
    b.subscription("photos");
    CHECK(b.ask_for<answers::subscription_names>(2, input::list_subscriptions{b.from(2), "photos"}).names == std::vector<std::string>{"s"});
    topic_changes more;
    more.partitions = 5;
    b.ask_for<answers::topic_info>(0, input::update_topic{b.from(0), "photos", more});
    CHECK(b.ask_for<answers::metadata>(2, input::list_metadata{b.from(2), {"photos"}}).topics.at(0).partitions == 5);
    b.ask_for<answers::done>(0, input::delete_subscription{b.from(0), "photos", "s", false});
    CHECK(b.ask_for<answers::subscription_names>(2, input::list_subscriptions{b.from(2), "photos"}).names.empty());
    b.ask_for<answers::done>(2, input::delete_topic{b.from(2), "photos", false});
    for (std::uint32_t shard = 0; shard < 3; ++shard) CHECK_FALSE(b.core(shard).topic_named("photos"));
}

TEST_CASE("changes asked for side by side are made one after the other") {
    shards b;
    for (std::uint32_t home = 0; home < 3; ++home) b.submit(home, input::create_topic{b.from(home), "same", {}});
    const auto told = b.settle();
    REQUIRE(told.answers.size() == 3);
    CHECK(std::count_if(told.answers.begin(), told.answers.end(), [](const auto& a) { return std::holds_alternative<answers::topic_info>(a.what); }) == 1);
    for (std::uint32_t home = 0; home < 3; ++home) b.submit(home, input::create_topic{b.from(home), "another" + std::to_string(home), {}});
    b.settle();
    std::set<topic_id> ids;
    for (int i = 0; i < 3; ++i) ids.insert(b.core(2).topic_named("another" + std::to_string(i)).value());
    CHECK(ids == std::set{topic_id{2}, topic_id{3}, topic_id{4}});
}

TEST_CASE("the number of shards may change at any start") {
    shards b(1);
    for (const auto* name : {"one", "two", "three"}) b.topic(name);
    for (const auto* name : {"one", "two", "three"}) b.subscription(name);
    for (std::uint32_t topic = 1; topic <= 3; ++topic) b.publish(0, topic_id{topic}, topic);
    b.settle();
    for (const std::uint32_t count : {3u, 2u, 4u, 1u}) {
        b.start(count);
        b.pass(std::chrono::seconds{3});
        b.settle();
        CHECK(b.progress("one").ready == 1);
        CHECK(b.progress("three").ready == 3);
        CHECK(b.topic("new" + std::to_string(count)) > topic_id{3});
        CHECK(b.ask_for<answers::metadata>(0, input::list_metadata{b.from(0), {}}).version > 0);
    }
}

TEST_CASE("a dead letter goes to another shard once, whenever the broker ends") {
    // What is held back: nothing; the envelope on its way; the answer on its way back.
    const auto held = GENERATE(std::set<std::uint32_t>{}, std::set<std::uint32_t>{2}, std::set<std::uint32_t>{1});
    shards b;
    const auto photos = b.topic("photos");
    const auto dead = b.topic("dead");
    REQUIRE(photos == topic_id{1});
    REQUIRE(dead == topic_id{2});
    b.subscription("photos", "dead");
    b.subscription("dead");
    kill_a_photo(b, photos);
    b.settle(held);
    CHECK((held.empty() || b.rows("H") == 1));
    CHECK(b.rows("I") == (held.contains(1) ? 1 : 0));
    const auto count = GENERATE(3u, 1u, 2u);
    b.start(count);
    for (int i = 0; i < 5; ++i) {
        b.pass(std::chrono::seconds{3});
        b.settle();
    }
    CHECK(b.rows("H") + b.rows("I") == 0);
    CHECK(b.progress("photos").settled.dead == 1);
    CHECK(b.progress("dead").ready == 1);
}

TEST_CASE("a dead letter whose topic in another shard refuses it stays, and comes later") {
    shards b;
    const auto photos = b.topic("photos");
    b.topic("dead");
    b.subscription("photos", "dead");
    b.subscription("dead");
    topic_changes full;
    full.max_backlog = 60;  // one message, and no envelope besides
    b.ask_for<answers::topic_info>(0, input::update_topic{b.from(0), "dead", full});
    b.publish(0, topic_id{2}, 1);
    kill_a_photo(b, photos);
    b.settle();
    CHECK(b.rows("H") == 1);
    full.max_backlog = 0;
    b.ask_for<answers::topic_info>(0, input::update_topic{b.from(0), "dead", full});
    b.pass(std::chrono::seconds{2});
    b.settle();
    CHECK(b.rows("H") == 0);
    CHECK(b.progress("dead").ready == 2);
}

TEST_CASE("a dead letter on its way to another shard is not parked besides") {
    const auto arrives = GENERATE(true, false);
    shards b;
    const auto photos = b.topic("photos");
    b.topic("dead");
    b.subscription("photos", "dead");
    b.subscription("dead");
    kill_a_photo(b, photos);
    if (arrives) b.settle({1});
    else b.settle({2});
    subscription_changes none;
    none.dead_letter = "";
    b.submit(1, input::update_subscription{b.from(1), "photos", "s", none});
    b.settle();
    const auto told = b.progress("photos");
    CHECK(told.settled.dead + told.settled.parked == 1);
    CHECK(b.progress("dead").ready == told.settled.dead);
    CHECK(b.rows("H") + b.rows("I") == 0);
}

TEST_CASE("a named producer is the same in all shards") {
    shards b;
    b.topic("one");
    b.topic("two");
    auto opened = b.ask_for<answers::producer_opened>(2, input::open_producer{b.from(2), "till", 5, false});
    for (const std::uint32_t topic : {1u, 2u})
        for (int again = 0; again < 2; ++again) {
            b.publish(0, topic_id{topic}, 3, {opened.id, opened.epoch, 1, 0});
            const auto told = b.settle();
            REQUIRE(told.answers.size() == 1);
            CHECK(std::get<answers::published>(told.answers[0].what).first == sequence{0});  // the second is the first, sent again
        }
    const auto next = b.ask_for<answers::producer_opened>(0, input::open_producer{b.from(0), "till", 6, false});
    CHECK(next.id == opened.id);
    CHECK(next.epoch == opened.epoch + 1);
    CHECK(next.positions.size() == 2);
    b.publish(1, topic_id{2}, 1, {opened.id, opened.epoch, 2, 0});
    const auto told = b.settle();
    CHECK(std::get<error>(told.answers.at(0).what).code == errc::producer_fenced);
    b.start(2);
    CHECK(b.ask_for<answers::producer_opened>(1, input::open_producer{b.from(1), "till", 6, true}).positions.size() == 2);
}

TEST_CASE("a producer that one shard alone has seen in use is not forgotten, and one that none has is by all") {
    shards b;
    b.topic("one");
    const auto busy = b.ask_for<answers::producer_opened>(0, input::open_producer{b.from(0), "busy", 5, false});
    b.ask_for<answers::producer_opened>(0, input::open_producer{b.from(0), "idle", 6, false});
    topic_changes aging;  // so that the shards look at their ages without being asked
    aging.max_age = std::chrono::hours{24 * 300};
    for (int i = 0; i < 3; ++i) b.ask_for<answers::topic_info>(0, input::create_topic{b.from(0), "aging" + std::to_string(i), aging});
    for (std::uint64_t day = 1; day <= 9; ++day) {
        b.pass(std::chrono::hours{24});
        b.publish(2, topic_id{1}, 1, {busy.id, busy.epoch, day, 0});
        b.settle();
    }
    CHECK(b.rows("N") == 1);
    CHECK(b.rows("Q") == 1);
    const auto before = b.carried();
    b.pass(std::chrono::seconds{2});
    b.settle();
    CHECK(b.carried() == before);  // the first shard knows, and does not ask again
    b.publish(2, topic_id{1}, 1, {busy.id, busy.epoch, 10, 0});
    CHECK(std::holds_alternative<answers::published>(b.settle().answers.at(0).what));
    CHECK(b.ask_for<answers::producer_opened>(0, input::open_producer{b.from(0), "idle", 6, false}).epoch == 1);
}

TEST_CASE("what is on its way to a consumer that has left is dropped, and its number may be taken again") {
    shards b;
    for (const auto* name : {"one", "two"}) {
        b.topic(name);
        b.subscription(name);
    }
    b.subscribe(0, "one");
    b.settle();
    b.publish(1, topic_id{1}, 2);
    b.settle({0});  // given by shard 1, and on the way to the session at shard 0
    b.submit(0, input::unsubscribe{b.from(0), consumer_id{1}});
    b.subscribe(0, "two", 1);
    const auto told = b.settle();
    CHECK(told.pushes.empty());
    CHECK(told.answers.size() >= 2);
    CHECK(b.progress("one").ready == 2);
    b.publish(0, topic_id{2}, 3);
    CHECK(b.settle().pushes.size() == 1);
    b.subscribe(0, "one", 1);
    CHECK(std::get<error>(b.settle().answers.at(0).what).code == errc::consumer_exists);
}

TEST_CASE("a session that is lost leaves nothing behind in any shard") {
    shards b;
    for (const auto* name : {"one", "two", "three"}) {
        b.topic(name);
        b.subscription(name);
    }
    for (std::uint32_t consumer = 1; const auto* name : {"one", "two", "three"}) b.subscribe(1, name, consumer++);
    b.settle();
    for (std::uint32_t shard = 0; shard < 3; ++shard) CHECK(b.core(shard).consumers() == 1);
    b.submit(1, input::session_lost{b.at(1)});
    b.settle();
    for (std::uint32_t shard = 0; shard < 3; ++shard) CHECK(b.core(shard).consumers() == 0);
    b.subscribe(1, "one");
    CHECK(b.settle().answers.size() == 1);
}

TEST_CASE("a batch is checked where its session is") {
    shards b;
    b.topic("one");
    auto records = proto::numbered_records(1, "m");
    records.back() ^= std::byte{1};
    b[0].publish(b.now_, {b.from(0), {topic_id{1}, 0}, 1, durability::memory, records, {}});
    CHECK(std::get<error>(b.settle({1}).answers.at(0).what).code == errc::checksum_mismatch);
}

}  // namespace millrace::driver

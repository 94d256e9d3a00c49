// A broker on a disk of its own that is filled by publishing until it refuses, drained to zero, and filled again: without a restart, with nothing lost.
//
// As tests/run.sh does it, on 256 MiB:       build/tests/process/test_process "[full-disk]"
// The drill on 1 GiB, in about two minutes:  MILLRACE_FULL_DISK=1GiB build/tests/process/test_process "[full-disk]"
#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <exception>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "millrace/units.hpp"
#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"
#include "tests/process/faults.hpp"
#include "tests/process/small_disk.hpp"

namespace millrace::process {
namespace {

std::uint64_t disk_bytes() {
    const auto* chosen = ::getenv("MILLRACE_FULL_DISK");
    return chosen ? parse_size(chosen).value() : 256u << 20;
}

/// None, with the reason told, where this process may not mount.
std::unique_ptr<small_disk> own_disk() {
    try {
        auto disk = std::make_unique<small_disk>(disk_bytes());
        std::cout << "the disk: " << format_size(disk_bytes()) << ", " << disk->kind() << '\n';
        return disk;
    } catch (const std::runtime_error& e) {
        WARN("skipped: " << e.what());
        return nullptr;
    }
}

/// Content that follows from the id, and does not compress to nothing.
std::string payload_of(std::uint64_t id) {
    std::uint64_t state = id * 0x9E3779B97F4A7C15u + 1;
    const auto size = id % 97 == 0 ? 300'000 + id % 1000 : 4'000 + id % 9'000;
    std::string payload = std::to_string(id) + ' ';
    payload.reserve(size + 8);
    while (payload.size() < size) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        payload.append(reinterpret_cast<const char*>(&state), sizeof state);
    }
    return payload;
}

client::connection_settings named(const std::string& server) {
    client::connection_settings s;
    s.server = server;
    s.producer = "uploader";
    s.reconnect.pause_min = 10ms;
    s.reconnect.pause_max = 100ms;
    return s;
}

client::connection_settings unnamed(const std::string& server) {
    auto s = named(server);
    s.producer.clear();
    return s;
}

constexpr std::uint64_t mean_bytes = 11'000;  // of payload_of(), roughly

constexpr auto* topic = "photos";
constexpr auto* workers = "workers";

/// When a test ends by an exception, what the broker had said is worth more than the exception.
class last_words {
public:
    explicit last_words(std::function<std::string()> of) : of_(std::move(of)) {}
    ~last_words() {
        if (std::uncaught_exceptions() > 0) WARN("the broker said: " << of_());
    }
    last_words(const last_words&) = delete;
    last_words& operator=(const last_words&) = delete;

private:
    std::function<std::string()> of_;
};

/// Publishes numbered messages, some at a time, and knows what became of each.
class load {
public:
    explicit load(blocking_client& through) : through_(through) {}

    /// Until the broker refuses for want of room, or `enough()`.
    template <class Enough>
    void run_until(Enough enough) {
        full_ = false;
        through_.run_until([&] {
            while (!full_ && under_way_ < 200) publish_one();
            return full_ || enough();
        });
    }

    void fill() {
        while (!full_) {  // a disk takes longer than a client's patience, if it is large
            const auto some = answered.size() + 5'000;
            run_until([&] { return answered.size() >= some; });
        }
        finish();
    }

    void finish() {
        through_.run_until([&] { return under_way_ == 0; });
        full_ = false;
    }

    /// Publishes one message after the other until one is taken.
    void wait_until_open() {
        const auto before = answered.size();
        through_.run_until([&] {
            if (under_way_ == 0) publish_one();
            return answered.size() > before;
        });
        finish();
    }

    std::map<std::uint64_t, std::uint64_t> answered;  // id → sequence
    std::size_t refused = 0;                          // for want of room, or behind such a one
    std::string unexpected;                           // what else was refused, and how
    std::string words;                                // of the last refusal

private:
    void publish_one() {
        const auto id = sent_++;
        ++under_way_;
        through_.broker().async_publish(topic, {.payload = payload_of(id)}, [this, id](boost::system::error_code failed, client::receipt r) {
            --under_way_;
            if (!failed) {
                answered[id] = r.sequence.value;
                return;
            }
            const auto is_full = failed == make_error_code(errc::disk_full);
            if (is_full || failed == make_error_code(errc::batch_gap))
                ++refused;
            else
                unexpected = failed.message() + ": " + r.refusal;
            full_ = full_ || is_full;
            if (is_full) words = r.refusal;
        });
    }

    blocking_client& through_;
    std::size_t under_way_ = 0;
    std::uint64_t sent_ = 0;
    bool full_ = false;
};

/// Consumes, and holds the broker to what it answered. Rejects each `reject_every`th message, if that is not 0.
class drain {
public:
    drain(blocking_client& through, const load& published, std::uint64_t reject_every = 0)
        : through_(through), published_(published), reject_every_(reject_every), from_(through.subscribe(topic, workers)) {}

    void run_until_empty() {
        while (!is_empty()) {
            for (const auto& d : through_.receive(from_)) take(d);
            note(through_.settle(from_));
        }
    }

    std::set<std::uint64_t> received;
    std::size_t again = 0;
    std::size_t out_of_order = 0;
    std::size_t wrong = 0;
    std::size_t after_its_ack = 0;
    std::size_t rejected = 0;

private:
    bool is_empty() const {
        return std::all_of(published_.answered.rbegin(), published_.answered.rend(), [&](const auto& m) { return acked_.contains(m.second); });
    }

    void take(const client::delivery& d) {
        const auto id = std::stoull(d.message.payload);
        const auto known = published_.answered.find(id);
        if (d.message.payload != payload_of(id)) ++wrong;
        if (known == published_.answered.end() || known->second != d.sequence.value) ++wrong;
        if (acked_.contains(d.sequence.value)) ++after_its_ack;
        if (!received.insert(id).second)
            ++again;
        else if (std::exchange(newest_, d.sequence.value) > d.sequence.value)
            ++out_of_order;
        if (reject_every_ > 0 && id % reject_every_ == 0) {
            from_.reject(d, "no photo");
            ++rejected;
        } else {
            from_.ack(d);
        }
        given_.insert(d.sequence.value);
    }

    void note(const client::settlement& settled) {
        for (const auto& lost : settled.lost) given_.erase(given_.lower_bound(lost.first.value), given_.upper_bound(lost.last.value));
        acked_.merge(given_);
        given_.clear();
    }

    blocking_client& through_;
    const load& published_;
    const std::uint64_t reject_every_;
    client::consumer from_;
    std::set<std::uint64_t> given_;
    std::set<std::uint64_t> acked_;  // and answered
    std::uint64_t newest_ = 0;
};

void check_all_came(const load& published, const drain& consumed) {
    CHECK(published.unexpected == "");
    CHECK(consumed.received.size() == published.answered.size());
    CHECK(consumed.wrong == 0);
    CHECK(consumed.after_its_ack == 0);
}

/// As it is where nothing failed.
void check_all_came_once(const load& published, const drain& consumed) {
    check_all_came(published, consumed);
    CHECK(consumed.out_of_order == 0);
    CHECK(consumed.again == 0);
}

void check_accounts(blocking_client& client, const load& published) {
    const auto p = client.describe(topic, workers).partitions.at(0);
    CHECK(p.published == published.answered.size());
    CHECK(p.acked == published.answered.size());
}

void make_topic(blocking_client& client) {
    client.create_topic(topic, {.partitions = 1});
    client.create_subscription(topic, workers);
}

answered<client::topic_description> try_to_create(blocking_client& client, const std::string& name) {
    return client.call<client::topic_description>([&](auto& b, auto done) { b.async_create_topic(name, {}, std::move(done)); });
}

/// A row, as a full disk still takes it; whatever becomes of it.
void write_something(blocking_client& client) {
    client.call<client::subscription_description>([](auto& b, auto done) { b.async_update_subscription(topic, workers, {}, std::move(done)); });
}

template <class Condition>
bool comes_true(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > give_up) return false;
        ::usleep(20'000);
    }
    return true;
}

}  // namespace

TEST_CASE("a disk that is filled by publishing refuses by name, is drained to zero, and takes again without a restart", "[full-disk][shards]") {
    const auto disk = own_disk();
    if (!disk) return;
    broker_process broker({"--store", disk->store()});
    const last_words at_the_end([&] { return broker.process().errors(); });
    blocking_client producer(named(broker.address()));
    blocking_client consumer(producer, broker.address());
    make_topic(producer);
    load published(producer);
    drain consumed(consumer, published);
    int others = 0;
    for (int round = 0; round < 3; ++round) {
        const auto before = published.answered.size();
        published.fill();
        std::cout << "round " << round << ": " << published.answered.size() - before << " taken, " << published.refused << " refused, "
                  << (disk->free_bytes() >> 20) << " MiB free\n";
        CHECK((published.answered.size() - before) * mean_bytes > disk_bytes() / 4);
        CHECK(published.words.find("reserve") != std::string::npos);
        CHECK(comes_true([&] {  // what the engine gives back in between may open it once more
            published.fill();
            return try_to_create(consumer, "other-" + std::to_string(++others)).is(errc::disk_full);
        }));

        consumed.run_until_empty();
        check_all_came_once(published, consumed);
        published.wait_until_open();
        CHECK(comes_true([&] { return disk->free_bytes() > disk->bytes() / 3 * 2; }));
    }
    consumed.run_until_empty();
    check_all_came_once(published, consumed);
    check_accounts(consumer, published);
    CHECK(broker.stop() == 0);
}

TEST_CASE("a full disk that is consumed while it is published to never stands still for long", "[full-disk][shards]") {
    const auto disk = own_disk();
    if (!disk) return;
    broker_process broker({"--store", disk->store()});
    blocking_client producer(named(broker.address()));
    make_topic(producer);
    load published(producer);
    published.fill();
    const auto filled = published.answered.size();
    drain consumed(producer, published);  // on the same connection
    while (published.answered.size() < 2 * filled) {
        consumed.run_until_empty();
        published.wait_until_open();
        published.run_until([&, enough = published.answered.size() + 2'000] { return published.answered.size() >= enough; });
        published.finish();
    }
    consumed.run_until_empty();
    check_all_came_once(published, consumed);
    check_accounts(producer, published);
    CHECK(broker.stop() == 0);
}

// Each entry has a dead message in it: none would ever be freed if the dead waited for room.
TEST_CASE("a full disk whose messages die here and there opens again, and every dead letter arrives", "[full-disk][shards]") {
    const auto disk = own_disk();
    if (!disk) return;
    broker_process broker({"--store", disk->store()});
    const last_words at_the_end([&] { return broker.process().errors(); });
    blocking_client client(named(broker.address()));
    client.create_topic("dead", {.partitions = 1});
    client.create_topic(topic, {.partitions = 1});
    client.create_subscription(topic, workers, {.dead_letter = "dead"});
    load published(client);
    int times_full = 0;
    CHECK(comes_true([&] {  // what the engine gives back in between opens it again
        const auto before = published.answered.size();
        published.fill();
        times_full = published.answered.size() == before ? times_full + 1 : 0;
        return times_full == 200;
    }));
    drain consumed(client, published, 50);
    consumed.run_until_empty();
    published.wait_until_open();
    CHECK(comes_true([&] { return client.describe(topic, workers).partitions.at(0).dead == consumed.rejected; }));
    CHECK(consumed.rejected > published.answered.size() / 60);
    CHECK(consumed.wrong == 0);
    CHECK(broker.stop() == 0);
}

TEST_CASE("a sync that fails once on a disk that fills: the broker ends with 70, and after a restart nothing answered is lost", "[full-disk][shards]") {
    const auto disk = own_disk();
    if (!disk) return;
    faults faults;
    std::vector<std::string> arguments{"--store", disk->store(), "--listen", "127.0.0.2:0"};
    std::optional<broker_process> broker(std::in_place, arguments, MILLRACED_FAULTY_PATH);
    const last_words at_the_end([&] { return broker ? broker->process().errors() : ""; });
    arguments.back() = broker->address();
    blocking_client producer(named(broker->address()));
    blocking_client consumer(unnamed(broker->address()));
    make_topic(producer);
    load published(producer);
    drain consumed(consumer, published);
    for (int round = 0; round < 2; ++round) {
        const auto some = published.answered.size() + 1'000;
        published.run_until([&] { return published.answered.size() >= some; });
        faults.once("fail-sync");
        // A refusal for want of room ends a run before the disk is asked to sync again.
        const auto has_ended = [&] { return broker->process().wait(0ms).has_value(); };
        REQUIRE(comes_true([&] {
            published.run_until(has_ended);
            return has_ended();
        }));
        REQUIRE(broker->process().wait() == 70);
        broker.emplace(arguments, MILLRACED_FAULTY_PATH);

        published.fill();
        consumed.run_until_empty();
        check_all_came(published, consumed);
        published.wait_until_open();
    }
    consumed.run_until_empty();
    check_all_came(published, consumed);
    check_accounts(consumer, published);
    CHECK(broker->stop() == 0);
}

TEST_CASE("a write that fails once under load: the process stays, its clients come back, nothing answered is lost or comes after its ack", "[shards]") {
    scratch_directory scratch;
    faults faults;
    broker_process broker({"--store", scratch.store()}, MILLRACED_FAULTY_PATH);
    blocking_client producer(named(broker.address()));
    blocking_client consumer(unnamed(broker.address()));
    make_topic(producer);
    load published(producer);
    drain consumed(consumer, published);
    for (int round = 0; round < 4; ++round) {
        const auto some = published.answered.size() + 300;
        published.run_until([&] { return published.answered.size() >= some; });
        faults.once("fail-write");
        published.run_until([&] { return faults.struck("fail-write"); });
        published.finish();
        if (round % 2 == 1) faults.once("fail-write");  // among the acks
        consumed.run_until_empty();
        REQUIRE(faults.struck("fail-write"));
    }
    CHECK(published.refused == 0);
    check_all_came(published, consumed);
    check_accounts(consumer, published);
    CHECK(broker.stop() == 0);
}

TEST_CASE("somebody else fills the disk to the last byte: what is stored is consumed all the same, and publishing comes back with the room", "[full-disk][shards]") {
    const auto disk = own_disk();
    if (!disk) return;
    broker_process broker({"--store", disk->store()});
    const last_words at_the_end([&] { return broker.process().errors(); });
    const auto ballast = disk->path() / "store" / "ballast";
    blocking_client producer(named(broker.address()));
    blocking_client consumer(unnamed(broker.address()));
    make_topic(producer);
    load published(producer);
    published.run_until([&] { return published.answered.size() >= 6'000; });
    published.finish();
    drain consumed(consumer, published);

    SECTION("the ballast is given up, and acks go on") {
        disk->fill_up(0);
        consumed.run_until_empty();
        check_all_came(published, consumed);
        disk->remove_filling();
    }
    SECTION("the ballast is filled too: the store fails, and comes back by itself when there is room") {
        REQUIRE(comes_true([&] {
            disk->fill_up(0);  // what the broker gives back meanwhile too
            return !std::filesystem::exists(ballast);
        }));
        auto back = std::async(std::launch::async, [&] {
            const auto says = [&](const char* words) { return broker.process().errors().find(words) != std::string::npos; };
            const auto failed = comes_true([&] {
                disk->fill_up(0);
                return says("a commit failed");
            });
            disk->remove_filling();
            return failed && comes_true([&] { return says("the store is open again"); });
        });
        while (back.wait_for(0s) != std::future_status::ready) write_something(consumer);
        CHECK(back.get());
        consumed.run_until_empty();
        check_all_came(published, consumed);
    }
    published.wait_until_open();
    consumed.run_until_empty();
    check_all_came(published, consumed);
    check_accounts(consumer, published);
    CHECK(comes_true([&] { return std::filesystem::exists(ballast); }));
    CHECK(broker.process().running());
    CHECK(broker.stop() == 0);
}

}  // namespace millrace::process

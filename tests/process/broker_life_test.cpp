// millraced from its first line to its last: flags, stores, ready, drain, restart, kill -9.
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"
#include "tests/process/faults.hpp"
#include "tests/process/raw_client.hpp"

namespace millrace::process {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

/// millraced with these arguments ends by itself: its code, and one line on stderr.
void refuses(const std::vector<std::string>& arguments, int code, const std::string& words) {
    const auto ended = run_command(MILLRACED_PATH, arguments);
    CAPTURE(arguments, ended.err);
    CHECK(ended.code == code);
    CHECK(ended.out.empty());
    CHECK_THAT(ended.err, StartsWith("millraced: ") && Contains(words));
    CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
}

std::set<std::string> payloads_left(blocking_client& client, std::size_t expected) {
    auto consumer = client.subscribe("photos", "thumbs");
    std::set<std::string> found;
    while (found.size() < expected)
        for (const auto& d : client.receive(consumer)) found.insert(d.message.payload);
    return found;
}

void make_photos(blocking_client& client) {
    client.create_topic("photos");
    client.create_subscription("photos", "thumbs");
}

/// Ten messages, of which three are acked; then the broker ends in some way, and seven come again.
void survives(void (*end)(broker_process&)) {
    scratch_directory scratch;
    std::set<std::string> expected;
    {
        broker_process broker({"--store", scratch.store()});
        blocking_client client(broker.address());
        make_photos(client);
        for (int i = 0; i < 10; ++i) {
            REQUIRE(!client.publish("photos", "photo " + std::to_string(i)).code);
            if (i >= 3) expected.insert("photo " + std::to_string(i));
        }
        auto consumer = client.subscribe("photos", "thumbs");
        std::uint64_t seen = 0;
        while (seen < 10)
            for (const auto& d : client.receive(consumer))
                if (seen++ < 3) consumer.ack(d);
        CHECK(client.settle(consumer).lost.empty());
        end(broker);
    }
    broker_process broker({"--store", scratch.store()});
    blocking_client client(broker.address());
    const auto progress = client.describe("photos", "thumbs").partitions.at(0);
    CHECK(progress.published == 10);
    CHECK(progress.acked == 3);
    CHECK(payloads_left(client, 7) == expected);
}

}  // namespace

TEST_CASE("a broker says when and where it serves") {
    scratch_directory scratch;
    broker_process broker({"--store", scratch.store()});
    CHECK_THAT(broker.ready_line(), StartsWith("ready listen=127.0.0.1:") && Contains(" admin=127.0.0.1:"));
    CHECK(broker.port() != 0);
    CHECK(broker.stop() == 0);
}

TEST_CASE("an IPv6 address is printed as one types it") {
    child_process broker(MILLRACED_PATH, {"--store", "memory:", "--listen", "[::1]:0", "--admin", "[::1]:0"});
    const auto line = broker.read_line();
    if (!line) {
        WARN("this machine has no IPv6 loopback: " << broker.errors());
        return;
    }
    CHECK_THAT(*line, StartsWith("ready listen=[::1]:") && Contains(" admin=[::1]:"));
}

TEST_CASE("flags that make no sense are usage errors with one line") {
    refuses({"--store", "nonsense"}, 2, "invalid_argument: --store is 'nonsense'");
    refuses({"--store", "rocksdb:"}, 2, "--store is 'rocksdb:'");
    refuses({"--store", "memory:", "--listen", "127.0.0.1"}, 2, "--listen is '127.0.0.1'");
    refuses({"--store", "memory:", "--listen", "127.0.0.1:70000"}, 2, "70000");
    refuses({"--store", "memory:", "--listen", "127.0.0.1:http"}, 2, "http");
    refuses({"--store", "memory:", "--listen", "nowhere:0"}, 2, "nowhere");
    refuses({"--store", "memory:", "--listen", "0.0.0.0:0"}, 2, "--insecure");
    refuses({"--store", "memory:", "--admin", "7080"}, 2, "--admin is '7080'");
    refuses({"--store", "memory:", "--admin", "0.0.0.0:0"}, 2, "--admin 0.0.0.0:0 is reachable");
    refuses({"--store", "memory:", "--durability", "eternal"}, 2, "--durability is 'eternal'");
    refuses({"--store", "memory:", "--log-level", "shout"}, 2, "--log-level is 'shout'");
    refuses({"--store", "memory:", "--disk-reserve", "5 parsecs"}, 2, "--disk-reserve is '5 parsecs'");
    refuses({"--store", "memory:", "--scrub-rate", "fast"}, 2, "--scrub-rate is 'fast'");
    refuses({"--store", "memory:", "--stay-awake", "1s"}, 2, "--stay-awake is '1s'");
    CHECK(run_command(MILLRACED_PATH, {"--no-such-flag"}).code == 2);
    CHECK(run_command(MILLRACED_PATH, {"--max-connections", "0"}).code == 2);
    CHECK(run_command(MILLRACED_PATH, {"--version"}).code == 0);
    CHECK(run_command(MILLRACED_PATH, {"--help"}).code == 0);
}

TEST_CASE("every address may be listened on when one says so") {
    child_process broker(MILLRACED_PATH, {"--store", "memory:", "--listen", "0.0.0.0:0", "--admin", "none", "--insecure"});
    CHECK_THAT(broker.read_line().value_or(broker.errors()), StartsWith("ready listen=0.0.0.0:") && EndsWith(" admin=none"));
}

TEST_CASE("a busy port is refused with its name") {
    broker_process broker({"--store", "memory:"});
    refuses({"--store", "memory:", "--listen", broker.address(), "--admin", "none"}, 1, broker.address());
    refuses({"--store", "memory:", "--listen", "127.0.0.1:0", "--admin", broker.admin_address()}, 1, "choose another place with --admin, or none");
}

TEST_CASE("a store that cannot be opened is refused with its name") {
    scratch_directory scratch;
    const auto here = scratch.path().string();
    std::ofstream(here + "/file") << "not a store";
    refuses({"--store", "rocksdb:" + here + "/file"}, 1, "storage_failure: " + here + "/file");
    refuses({"--store", "rocksdb:" + here + "/file/store"}, 1, "storage_failure");
    refuses({"--store", "rocksdb:" + here + "/no/such/parent"}, 1, here + "/no/such");
    refuses({"--store", "rocksdb:/proc"}, 1, "storage_failure: the store's directory /proc cannot be written");
}

TEST_CASE("a store belongs to one broker at a time") {
    scratch_directory scratch;
    broker_process first({"--store", scratch.store()});
    refuses({"--listen", "127.0.0.1:0", "--admin", "none", "--store", scratch.store()}, 1, name_of(errc::store_in_use));
    CHECK(first.process().running());
    blocking_client client(first.address());
    make_photos(client);
    CHECK(!client.publish("photos", "still here").code);
    first.kill();
    broker_process second({"--store", scratch.store()});
    CHECK(second.stop() == 0);
}

TEST_CASE("topics, messages and acks survive an orderly end") {
    survives([](broker_process& broker) { CHECK(broker.stop() == 0); });
}

TEST_CASE("topics, messages and acks survive kill -9") {
    survives([](broker_process& broker) { broker.kill(); });
}

TEST_CASE("SIGTERM answers or reports every publish under way, and ends with 0") {
    scratch_directory scratch;
    std::size_t answered = 0;
    std::size_t reported = 0;
    constexpr std::size_t count = 20'000;
    {
        broker_process broker({"--store", scratch.store()});
        blocking_client client(broker.address());
        make_photos(client);
        for (std::size_t i = 0; i < count; ++i)
            client.broker().async_publish("photos", {.payload = std::string(1024, 'x')}, [&](boost::system::error_code failed, client::receipt) {
                if (!failed) return static_cast<void>(++answered);
                ++reported;
                CHECK((failed == make_error_code(errc::shutting_down) || failed == make_error_code(errc::connection_lost)));
            });
        client.run_until([&] { return answered > 0; });
        broker.process().send(SIGTERM);
        client.run_until([&] { return answered + reported == count; });
        CHECK(broker.process().wait() == 0);
    }
    broker_process broker({"--store", scratch.store()});
    blocking_client client(broker.address());
    const auto found = client.describe("photos", "thumbs").partitions.at(0).published;
    CHECK(found >= answered);
    CHECK(found <= count);
}

TEST_CASE("SIGTERM tells consumers why they end") {
    broker_process broker({"--store", "memory:"});
    blocking_client client(broker.address());
    make_photos(client);
    auto consumer = client.subscribe("photos", "thumbs");
    boost::system::error_code told;
    consumer.async_receive([&](boost::system::error_code failed, client::received) { told = failed; });
    broker.process().send(SIGTERM);
    client.run_until([&] { return static_cast<bool>(told); });
    CHECK(told == make_error_code(errc::shutting_down));
    CHECK(broker.process().wait() == 0);
}

TEST_CASE("a receipt says how safe the message is, and a producer may demand it") {
    scratch_directory scratch;
    const std::pair<const char*, durability> levels[] = {
        {"disk", durability::disk}, {"buffered", durability::buffered}, {"memory", durability::memory}};
    for (const auto& [flag, level] : levels) {
        CAPTURE(flag);
        broker_process broker({"--store", scratch.store() + flag, "--durability", flag});
        blocking_client client(broker.address());
        make_photos(client);
        CHECK(blocking_client::value(client.publish("photos", "x")).level == level);
        CHECK(blocking_client::value(client.publish("photos", "x", {level})).level == level);
        CHECK(client.publish("photos", "x", {durability::replicated}).is(errc::durability_unavailable));
        CHECK(client.describe("photos", "thumbs").partitions.at(0).published == 2);
    }
}

TEST_CASE("the memory store forgets with its broker, and says so") {
    std::string address;
    {
        broker_process broker({"--store", "memory:"});
        blocking_client client(broker.address());
        make_photos(client);
        CHECK(blocking_client::value(client.publish("photos", "x")).level == durability::memory);
        CHECK(client.publish("photos", "x", {durability::buffered}).is(errc::durability_unavailable));
        CHECK(broker.stop() == 0);
    }
    broker_process broker({"--store", "memory:"});
    CHECK(millrace(broker, {"topic", "list"}).out.empty());
}

TEST_CASE("one connection too many is told so, and the others stay") {
    broker_process broker({"--store", "memory:", "--max-connections", "2"});
    blocking_client first(broker.address());
    {
        blocking_client second(broker.address());
        const auto third = millrace(broker, {"topic", "list"});
        CHECK(third.code == 1);
        CHECK_THAT(third.err, Contains(name_of(errc::too_many_sessions)));
        second.create_topic("photos");
    }
    // The place is free when the broker has seen the second one go.
    while (millrace(broker, {"topic", "list"}).code != 0) {}
    first.create_topic("films");
}

TEST_CASE("a broker without descriptors says so, and lets in who waits when some come back", "[shards]") {
#ifdef __SANITIZE_ADDRESS__
    WARN("skipped: the sanitizers beside it open descriptors to look at objects, and call an object damaged when they get none");
#else
    broker_process broker({"--store", "memory:"});
    const auto pid = broker.process().pid();
    const auto opened = std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd");
    constexpr int places = 3;
    const auto as_many = static_cast<rlim_t>(std::distance(begin(opened), end(opened)) + places);
    const rlimit most{as_many, as_many};
    REQUIRE(::prlimit(pid, RLIMIT_NOFILE, &most, nullptr) == 0);

    std::deque<raw_client> inside;
    for (int i = 0; i < places; ++i) CHECK(inside.emplace_back(broker).greet().kind == wire::Message::Welcome);
    std::deque<raw_client> at_the_door;
    for (int i = 0; i < places; ++i) at_the_door.emplace_back(broker);
    broker.process().wait_for_words("cannot accept a connection");
    inside.clear();
    for (auto& c : at_the_door) CHECK(c.greet().kind == wire::Message::Welcome);
    CHECK(broker.stop() == 0);
#endif
}

TEST_CASE("a connection that is gone before it is let in holds nobody up", "[shards]") {
    faults faults;
    broker_process broker({"--store", "memory:"}, MILLRACED_FAULTY_PATH);
    blocking_client inside(broker.address());
    faults.once("abort-accept");
    const raw_client gone(broker);
    while (!faults.struck("abort-accept")) std::this_thread::yield();
    inside.create_topic("photos");
    CHECK(broker.stop() == 0);
}

}  // namespace millrace::process

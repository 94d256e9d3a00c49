// Named producers against a real broker that is killed with -9 under load, and against each other.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"

namespace millrace::process {
namespace {

constexpr std::uint32_t partitions = 3;

client::connection_settings named(const std::string& server, const std::string& producer = "web") {
    client::connection_settings s;
    s.server = server;
    s.producer = producer;
    s.reconnect.pause_min = 10ms;
    s.reconnect.pause_max = 100ms;
    return s;
}

/// Publishes numbered payloads, a window of them at a time, and knows what became of each.
struct load {
    blocking_client& through;
    std::size_t under_way = 0;
    std::uint64_t sent = 0;
    std::map<std::uint64_t, client::receipt> answered{};
    std::map<std::uint64_t, boost::system::error_code> refused{};

    void publish_one() {
        const auto id = sent++;
        ++under_way;
        message m{.key = id % 2 ? "key " + std::to_string(id % 17) : "", .payload = std::to_string(id) + std::string(id % 900, '.')};
        through.broker().async_publish("photos", std::move(m), [this, id](boost::system::error_code failed, client::receipt r) {
            --under_way;
            if (failed) refused[id] = failed;
            else answered[id] = r;
        });
    }

    void run(std::size_t more, std::size_t window = 500) {
        const auto until = answered.size() + refused.size() + more;
        through.run_until([&] {
            while (under_way < window) publish_one();
            return answered.size() + refused.size() >= until;
        });
    }

    void finish() {
        through.run_until([&] { return under_way == 0; });
    }
};

/// What lies in the topic: how often each payload, and where.
std::map<std::uint64_t, std::vector<std::pair<std::uint32_t, std::uint64_t>>> stored(blocking_client& client) {
    std::map<std::uint64_t, std::vector<std::pair<std::uint32_t, std::uint64_t>>> found;
    for (std::uint32_t partition = 0; partition < partitions; ++partition) {
        client::peek_options from;
        from.partition = partition;
        for (;;) {
            const auto page = blocking_client::value(
                client.call<client::peeked>([&](auto& b, auto done) { b.async_peek("photos", from, std::move(done)); }));
            if (page.deliveries.empty()) break;
            for (const auto& d : page.deliveries) found[std::stoull(d.message.payload)].emplace_back(partition, d.sequence.value);
            from.from = page.deliveries.back().sequence + 1;
        }
    }
    return found;
}

void make_topic(blocking_client& client) {
    client.create_topic("photos", {.partitions = partitions});
    client.create_subscription("photos", "thumbs");
}

bool fenced(const answered<client::receipt>& outcome) { return outcome.is(errc::producer_fenced); }

}  // namespace

TEST_CASE("a broker killed with -9 under load: what a named producer publishes is stored once, all of it, where the receipts say", "[shards]") {
    scratch_directory scratch;
    const std::vector<std::string> store{"--store", scratch.store(), "--listen"};
    auto arguments = store;
    arguments.push_back("127.0.0.2:0");
    std::string address;
    std::optional<blocking_client> client;
    std::optional<load> work;
    constexpr int kills = 6;
    for (int life = 0; life <= kills; ++life) {
        broker_process broker(arguments);
        if (life == 0) {
            address = broker.address();
            arguments.back() = address;
            client.emplace(named(address));
            make_topic(*client);
            work.emplace(load{*client});
        }
        work->run(static_cast<std::size_t>(1'500 + life * 700));
        if (life < kills) broker.kill();
        if (life < kills) continue;
        work->finish();
        const auto found = stored(*client);
        CHECK(work->refused.empty());
        CHECK(found.size() == work->sent);
        for (const auto& [id, places] : found) {
            CAPTURE(id);
            REQUIRE(places.size() == 1);
            const auto& r = work->answered.at(id);
            REQUIRE(places[0] == std::pair(r.partition, r.sequence.value));
            REQUIRE(r.batch > 0);
        }
    }
}

TEST_CASE("a second client under the same name fences the first, which does not fight back, also after a restart", "[shards]") {
    scratch_directory scratch;
    std::vector<std::string> arguments{"--store", scratch.store(), "--listen", "127.0.0.2:0"};
    std::optional<broker_process> broker(std::in_place, arguments);
    arguments.back() = broker->address();
    blocking_client first(named(broker->address()));
    make_topic(first);
    CHECK(!first.publish("photos", "1").code);
    blocking_client second(named(broker->address()));
    CHECK(fenced(first.publish("photos", "2")));
    CHECK(!second.publish("photos", "3").code);
    CHECK(fenced(first.publish("photos", "4")));

    broker->kill();
    broker.emplace(arguments);
    CHECK(fenced(first.publish("photos", "5")));
    CHECK(!second.publish("photos", "6").code);
    CHECK(stored(second).size() == 3);

    // To connect anew is to take the name back.
    first.call<client::done>([](auto& b, auto done) { b.async_close(std::move(done)); });
    const auto again = blocking_client::value(first.call<client::broker_description>([](auto& b, auto done) { b.async_connect(std::move(done)); }));
    CHECK(again.producer_epoch >= 4);
    CHECK(!first.publish("photos", "7").code);
    CHECK(fenced(second.publish("photos", "8")));
}

TEST_CASE("a client that is away while another takes its name is fenced when it comes back", "[shards]") {
    scratch_directory scratch;
    std::vector<std::string> arguments{"--store", scratch.store(), "--listen", "127.0.0.2:0"};
    std::optional<broker_process> broker(std::in_place, arguments);
    arguments.back() = broker->address();
    blocking_client first(named(broker->address()));
    make_topic(first);
    CHECK(!first.publish("photos", "1").code);
    broker->kill();
    broker.emplace(arguments);  // the first has not noticed: nobody runs it
    blocking_client second(named(broker->address()));
    CHECK(!second.publish("photos", "2").code);
    CHECK(fenced(first.publish("photos", "3")));
    CHECK(!second.publish("photos", "4").code);
}

TEST_CASE("a new process under the same name learns where the old one was", "[shards]") {
    scratch_directory scratch;
    broker_process broker({"--store", scratch.store()});
    std::map<std::uint32_t, std::uint64_t> last;
    {
        blocking_client old(named(broker.address()));
        make_topic(old);
        load work{old};
        work.run(2'000);
        work.finish();
        for (const auto& [id, r] : work.answered) last[r.partition] = std::max(last[r.partition], r.batch);
    }
    blocking_client fresh(broker.address());
    client::connection next(fresh.broker().get_executor(), named(broker.address()));
    std::optional<client::broker_description> about;
    next.async_connect([&](boost::system::error_code failed, client::broker_description d) {
        CHECK_FALSE(failed);
        about = std::move(d);
    });
    fresh.run_until([&] { return about.has_value(); });
    CHECK(about->producer_epoch == 2);
    std::map<std::uint32_t, std::uint64_t> told;
    for (const auto& p : about->producer_positions) told[p.partition] = p.batch;
    CHECK(told == last);
    CHECK(last.size() == partitions);
}

}  // namespace millrace::process

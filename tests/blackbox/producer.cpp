#include "tests/blackbox/producer.hpp"

#include <cmath>

namespace millrace::blackbox {
namespace {

constexpr std::size_t window = 500;         // under way at a time
constexpr milliseconds turn{10};            // between two bursts
constexpr milliseconds after_refusal{300};  // a broker that is full is asked again

client::connection_settings settings_of(const std::string& server, const std::string& name) {
    client::connection_settings s;
    s.server = server;
    s.name = name;
    s.producer = name;
    s.connect_timeout = 2s;
    s.reconnect.pause_max = 1s;
    return s;
}

}  // namespace

struct producer::state : std::enable_shared_from_this<state> {
    state(scene& s, boost::asio::io_context& io, host_number here, const std::string& its_name, std::uint64_t seed)
        : among(s), where(here), name(its_name), random(seed), broker(io.get_executor(), settings_of(s.server, its_name)), pause(io) {
        among.told.tell([&](sim::checker& judge, timestamp) { process = judge.producers().begins(name); });
    }

    void connect() {
        broker.async_connect([self = weak_from_this()](boost::system::error_code failed, const client::broker_description&) {
            const auto me = self.lock();
            if (!me) return;
            if (failed) me->among.told.publish_refused("connecting: " + failed.message());
            me->connected = !failed;
            me->wait(failed ? after_refusal : turn);
        });
    }

    void wait(milliseconds at_least) {
        pause.expires_after(at_least);
        pause.async_wait([self = weak_from_this()](const boost::system::error_code& canceled) {
            const auto me = self.lock();
            if (!me || canceled) return;
            if (!me->connected) return me->connect();
            me->burst();
        });
    }

    /// What is due since the last burst, as the rate says.
    void burst() {
        const auto moment = history::clock::now();
        const auto passed = std::chrono::duration<double>(moment - last_burst).count();
        last_burst = moment;
        owed = std::min(owed + passed * among.rate, 200.0);
        const auto held_back = std::exchange(is_refused, false);
        if (held_back) owed = std::min(owed, 1.0);
        if (!held_back && !among.settling)
            for (; owed >= 1 && under_way < window; owed -= 1) publish_one();
        wait(held_back ? after_refusal : turn);
    }

    void publish_one() {
        const auto& topic = random.pick(among.topics);
        const auto bytes = random.chance(5) ? random.between(20'000, 300'000) : random.below(2'000);
        sim::message_number number{};
        among.told.tell([&](sim::checker& judge, timestamp) {
            number = judge.publish(topic.name, bytes);
            judge.producers().sent(process, number);
        });
        among.told.publish_sent();
        ++under_way;
        message m{.payload = sim::checker::payload_of(number, bytes)};
        if (random.chance(300)) m.key = std::to_string(random.below(100));
        broker.async_publish(topic.name, std::move(m), [self = weak_from_this(), id = topic.id, number](boost::system::error_code failed, const client::receipt& r) {
            if (const auto me = self.lock()) me->answered(id, number, failed, r);
        });
    }

    void answered(std::uint32_t topic, sim::message_number number, boost::system::error_code failed, const client::receipt& r) {
        --under_way;
        if (failed) {
            is_refused = true;
            among.told.publish_refused(failed.message());
            if (failed == make_error_code(errc::connection_lost) || failed == make_error_code(errc::canceled)) connected = false;
            return;
        }
        among.told.tell([&](sim::checker& judge, timestamp) { judge.publish_answered(topic, r.partition, r.sequence, {number}); });
        among.told.publish_answered(where);
        if (r.level < durability::disk) among.told.violate(name + ": a publish was answered before it was on disk");
    }

    scene& among;
    const host_number where;
    std::string name;
    sim::incarnation_key process{};
    sim::random_source random;
    client::connection broker;
    boost::asio::steady_timer pause;
    history::clock::time_point last_burst = history::clock::now();
    double owed = 0;
    std::size_t under_way = 0;
    bool connected = false;
    bool is_refused = false;
};

producer::producer(scene& among, boost::asio::io_context& io, host_number where, const std::string& name, std::uint64_t seed)
    : state_(std::make_shared<state>(among, io, where, name, seed)) {
    state_->connect();
}

producer::~producer() = default;

std::size_t producer::under_way() const { return state_->under_way; }

}  // namespace millrace::blackbox

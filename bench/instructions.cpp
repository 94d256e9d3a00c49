// One client and one broker in one thread, without sockets, disk or clock: all that a message costs the processor in the library, the protocol, the
// driver and the core, and the same number of instructions each time. bench/guard.sh counts them.
//
//   client::machine ──bytes──► server::wire_session ──requests──► driver, core ──groups──► committed at once, and dropped
//                   ◄──bytes──                      ◄──answers, pushes──
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>

#include "broker/driver/open_shard.hpp"
#include "broker/server/wire_session.hpp"
#include "broker/storage/memory_store.hpp"
#include "client/machine.hpp"

namespace {

using namespace millrace;
using namespace std::chrono_literals;

constexpr auto* topic = "photos";
constexpr auto* subscription = "workers";

class one_connection {
public:
    explicit one_connection(const std::string& producer = {}) {
        auto opened = driver::open_shard(*store_, core::shard_id{0}, {});
        if (!opened) throw std::runtime_error(to_string(opened.failure()));
        driver_.emplace(std::move(opened.value().shard), driver::driver_settings{});
        server::session_settings session;
        session.level = durability::memory;
        session.epoch = opened.value().epoch;
        session_.emplace(core::session_id{1}, session, now_);
        client::machine_settings machine;
        machine.publishing.producer = producer;
        machine_.emplace(std::move(machine));
        machine_->connected(moment_now());
        run();
        ask(client::create_topic{topic, {.partitions = 1}});
    }

    void subscribe() {
        ask(client::create_subscription{topic, subscription, {}, {}});
        consumer_ = machine_->subscribe(client::ticket{++last_ticket_}, topic, subscription, {});
        run();
    }

    void publish(std::size_t count, const std::string& payload) {
        const auto before = published_;
        for (std::size_t i = 0; i < count; ++i) machine_->publish(client::ticket{++last_ticket_}, topic, {.payload = payload});
        run();
        if (published_ - before != count) throw std::runtime_error("not every message was taken");
    }

    /// What has arrived is acked in the order it came.
    void ack_all() {
        for (const auto& d : arrived_) machine_->ack(consumer_, d);
        acked_ += arrived_.size();
        arrived_.clear();
        run();
    }

    /// What has arrived is started, and acked one by one, the last first: as by workers that finish when they like.
    void work_off() {
        for (const auto& d : arrived_)
            if (!machine_->start(consumer_, d)) throw std::runtime_error("a delivery could not be started");
        run();
        for (; !arrived_.empty(); arrived_.pop_back(), ++acked_) {
            machine_->ack(consumer_, arrived_.back());
            run();
        }
    }

    /// Throws unless the broker says the same.
    void check(std::uint64_t published, std::uint64_t acked) {
        if (published_ != published || acked_ != acked || driver_->shard().acked_messages() != acked)
            throw std::runtime_error("published " + std::to_string(published_) + ", acked " + std::to_string(driver_->shard().acked_messages()));
    }

private:
    client::moment moment_now() const { return client::moment(now_.time_since_epoch()); }

    void ask(const client::request& what) {
        machine_->ask(client::ticket{++last_ticket_}, what);
        run();
    }

    /// Until nobody has anything more to say.
    void run() {
        do {
            now_ += 1ms;
            machine_->time_passed(moment_now());
            take_events();
            machine_->end_turn();
            to_broker();
            broker_turn();
        } while (to_client() || machine_->has_events() || machine_->has_output());
    }

    void take_events() {
        machine_->take_events(events_);
        for (auto& e : events_) {
            if (auto* p = std::get_if<client::published>(&e); p && !p->refused) published_ += p->operations.size();
            if (auto* d = std::get_if<client::delivered>(&e)) std::move(d->deliveries.begin(), d->deliveries.end(), std::back_inserter(arrived_));
            if (auto* c = std::get_if<client::completed>(&e); c && c->refused) throw std::runtime_error(to_string(c->refused));
            if (auto* over = std::get_if<client::ended>(&e)) throw std::runtime_error(to_string(over->reason));
        }
        events_.clear();
    }

    /// In pieces that fit: `room()` says where to, `took(count)` that so many are there.
    template <class Room, class Took>
    static void copy(std::span<const std::byte> bytes, Room room, Took took) {
        while (!bytes.empty()) {
            const auto to = room();
            const auto count = std::min(to.size(), bytes.size());
            std::copy_n(bytes.begin(), count, to.begin());
            bytes = bytes.subspan(count);
            took(count);
        }
    }

    void to_broker() {
        machine_->take_output(output_);
        output_.gather([this](std::span<const std::byte> bytes) {
            copy(bytes, [this] { return session_->prepare(); }, [this](std::size_t count) {
                session_->received(now_, count);
                while (auto r = session_->next()) {
                    if (const auto* p = std::get_if<driver::publish_request>(&*r))
                        driver_->publish(now_, *p);
                    else
                        driver_->submit(now_, std::get<core::any_input>(*r));
                }
            });
        });
        output_.clear();
    }

    void broker_turn() {
        if (const auto due = driver_->next_deadline(); due && *due <= now_) driver_->on_time(now_);
        for (bool committed = true; committed;) {
            driver_->flush(now_);
            auto todo = driver_->take_actions();
            if (todo.fatal || !todo.reads.empty()) throw std::runtime_error("the broker wants what is not in its memory");
            for (auto& a : todo.answers) session_->answer(a);
            for (auto& p : todo.pushes) session_->push(std::move(p));
            for (const auto& g : todo.commits) driver_->on_committed(now_, g.number, {});
            committed = !todo.commits.empty();
        }
    }

    /// Whether there was anything.
    bool to_client() {
        if (!session_->has_output()) return false;
        while (session_->has_output()) {
            const auto out = session_->take_output();
            for (const auto& p : out.pieces) {
                const auto bytes = p.slice.empty() ? std::span(out.buffer).subspan(p.offset, p.size) : p.slice;
                copy(bytes, [this] { return machine_->read_buffer(); }, [this](std::size_t count) { machine_->received(moment_now(), count); });
            }
        }
        return true;
    }

    std::unique_ptr<storage::store> store_ = storage::make_memory_store();
    std::optional<driver::driver> driver_;
    std::optional<server::wire_session> session_;
    std::optional<client::machine> machine_;
    timestamp now_{};
    std::uint64_t last_ticket_ = 0;
    client::consumer_number consumer_{};
    std::vector<client::event> events_;
    client::outgoing output_;
    std::vector<client::delivery> arrived_;
    std::uint64_t published_ = 0;
    std::uint64_t acked_ = 0;
};

constexpr std::size_t batch = 64;

void publish(std::uint64_t count, std::size_t bytes, std::size_t at_once, const std::string& producer = {}) {
    one_connection c(producer);
    const std::string payload(bytes, 'x');
    for (std::uint64_t n = 0; n < count; n += at_once) c.publish(at_once, payload);
    c.check(count, 0);
}

void end_to_end(std::uint64_t count, std::size_t bytes, std::size_t at_once, void (one_connection::*consume)()) {
    one_connection c;
    c.subscribe();
    const std::string payload(bytes, 'x');
    for (std::uint64_t n = 0; n < count; n += at_once) {
        c.publish(at_once, payload);
        (c.*consume)();
    }
    c.check(count, count);
}

const std::map<std::string, std::function<void(std::uint64_t)>> workloads = {
    {"publish-1KiB", [](auto count) { publish(count, 1024, batch); }},
    {"publish-100B", [](auto count) { publish(count, 100, 10 * batch); }},
    {"publish-named-1KiB", [](auto count) { publish(count, 1024, batch, "uploader"); }},
    {"publish-one-at-a-time", [](auto count) { publish(count, 1024, 1); }},
    {"end-to-end-1KiB", [](auto count) { end_to_end(count, 1024, batch, &one_connection::ack_all); }},
    {"end-to-end-100B", [](auto count) { end_to_end(count, 100, 10 * batch, &one_connection::ack_all); }},
    {"leased-1KiB", [](auto count) { end_to_end(count, 1024, batch, &one_connection::work_off); }},
};

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app{"Sends messages through client, protocol, driver and core in one thread, for bench/guard.sh to count the instructions."};
    std::string name;
    std::uint64_t count = 0;
    app.add_option("workload", name, "one of those without arguments")->check(CLI::IsMember(workloads));
    app.add_option("count", count, "messages: a multiple of 640");
    CLI11_PARSE(app, argc, argv);
    if (name.empty())
        for (const auto& [known, run] : workloads) std::puts(known.c_str());
    else
        workloads.at(name)(count / (10 * batch) * (10 * batch));
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "millrace-bench-instructions: %s\n", e.what());
    return 1;
}

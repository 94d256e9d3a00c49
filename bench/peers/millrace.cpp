#include "bench/peers/peers.hpp"

#include <stdexcept>
#include <system_error>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "bench/load.hpp"
#include "millrace/blocking_client.hpp"
#include "millrace/client.hpp"

namespace millrace::bench {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
constexpr std::uint32_t credit_messages = 20'000;

client::connection_settings connection_to(const load_settings& settings) {
    return {.server = settings.server, .token = settings.token, .token_file = settings.token_file, .name = "millrace-bench",
            .reconnect = {.enabled = false}};  // a measurement that lost its broker is none
}

/// The connections of a side, on the thread that calls wait().
class side {
public:
    side(const load_settings& settings, std::uint32_t connections) : timer_(context_) {
        for (std::uint32_t i = 0; i < connections; ++i)
            connections_.push_back(std::make_unique<client::connection>(context_.get_executor(), connection_to(settings)));
        auto missing = connections_.size();
        for (auto& c : connections_)
            c->async_connect([&](error_code failed, const client::broker_description& d) {
                fail("connect", failed, d.refusal);
                --missing;
            });
        run_while([&] { return missing > 0; });
    }

    ~side() {
        auto open = connections_.size();
        for (auto& c : connections_) c->async_close([&](error_code, client::done) { --open; });
        context_.restart();
        while (open > 0 && context_.run_one() > 0) {}
    }

protected:
    // What completes at once is taken at once, so that the next messages go out together.
    void run_until(steady::time_point until, const std::uint64_t& happened) {
        const auto before = happened;
        bool is_late = until <= steady::now();
        if (!is_late) {
            timer_.expires_at(until);
            timer_.async_wait([&](error_code canceled) { is_late = !canceled; });
        }
        do context_.poll();
        while (happened == before && !is_late && failure_.empty() && context_.run_one() > 0);
        timer_.cancel();
        context_.restart();
        context_.poll();
        if (!failure_.empty()) throw std::runtime_error(failure_);
    }

    template <class Condition>
    void run_while(Condition condition) {
        while (condition() && failure_.empty()) context_.run_one();
        if (!failure_.empty()) throw std::runtime_error(failure_);
    }

    void fail(const char* what, error_code failed, const std::string& refusal) {
        if (failed && failure_.empty()) failure_ = std::string(what) + ": " + failed.message() + ": " + refusal;
    }

    asio::io_context context_{1};
    std::vector<std::unique_ptr<client::connection>> connections_;
    std::string failure_;

private:
    asio::steady_timer timer_;
};

class publishing final : public publishing_side, side {
public:
    publishing(const load_settings& settings, answer_handler answered)
        : side(settings, settings.producer_connections()), topics_(settings.topic_names()), answered_(std::move(answered)) {}

    void publish(std::uint64_t slot, std::uint32_t producer, std::string payload) override {
        auto& broker = *connections_[producer % connections_.size()];
        broker.async_publish(topics_[producer % topics_.size()], {.payload = std::move(payload)}, [this, slot](error_code failed, const client::receipt& r) {
            if (failed) return fail("publish", failed, r.refusal);
            ++answers_;
            answered_(slot);
        });
    }

    void wait(steady::time_point until) override { run_until(until, answers_); }

private:
    const std::vector<std::string> topics_;
    const answer_handler answered_;
    std::uint64_t answers_ = 0;
};

class consuming final : public consuming_side, side {
public:
    consuming(const load_settings& settings, message_handler received) : side(settings, settings.consumers), received_(std::move(received)) {
        client::subscribe_options options;
        options.credit_messages = credit_messages;
        consumers_.resize(std::size_t{settings.topics} * settings.consumers);
        auto missing = consumers_.size();
        for (std::size_t i = 0; i < consumers_.size(); ++i) {
            const auto topic = settings.topic_name(static_cast<std::uint32_t>(i / settings.consumers));
            connections_[i % settings.consumers]->async_subscribe(topic, settings.subscription, options, [this, i, &missing](error_code failed, client::consumer c) {
                fail("subscribe", failed, c.refusal());
                consumers_[i] = std::move(c);
                --missing;
            });
        }
        run_while([&] { return missing > 0; });
        for (auto& c : consumers_) receive(c);
    }

    void wait(steady::time_point until) override { run_until(until, messages_); }

    void finish() override {
        is_ending_ = true;
        auto missing = consumers_.size();
        for (auto& c : consumers_)
            c.async_settle([&](error_code failed, const client::settlement& s) {
                fail("ack", failed, s.refusal);
                if (!s.lost.empty() && failure_.empty()) failure_ = "acks were lost";
                --missing;
            });
        run_while([&] { return missing > 0; });
    }

private:
    void receive(client::consumer& consumer) {
        consumer.async_receive([this, &consumer](error_code failed, const client::received& batch) {
            if (is_ending_) return;
            if (failed) return fail("receive", failed, batch.refusal);
            for (const auto& d : batch.deliveries) {
                ++messages_;
                if (received_(d.message.payload))
                    consumer.ack(d);
                else
                    consumer.set_aside(d);
            }
            receive(consumer);
        });
    }

    const message_handler received_;
    std::vector<client::consumer> consumers_;
    std::uint64_t messages_ = 0;
    bool is_ending_ = false;
};

std::unique_ptr<client::blocking_client> connect(const load_settings& settings) {
    try {
        return std::make_unique<client::blocking_client>(connection_to(settings));
    } catch (const std::system_error& failed) {
        throw std::runtime_error(std::string("connect: ") + failed.what());
    }
}

class millrace_peer final : public peer_of<publishing, consuming> {
public:
    void set_up(const load_settings& settings, bool consumes) override {
        const auto broker = connect(settings);
        client::start_position start;
        start.from = client::start_position::kind::latest;
        for (const auto& name : settings.topic_names()) {
            if (settings.own_topic) broker->create_topic(name);
            if (consumes) broker->create_subscription(name, settings.subscription, {}, start);
        }
    }

    void tear_down(const load_settings& settings, bool consumes) override {
        const auto broker = connect(settings);
        for (const auto& name : settings.topic_names()) {
            if (consumes) broker->delete_subscription(name, settings.subscription, true);
            if (settings.own_topic) broker->delete_topic(name, true);
        }
    }
};

}  // namespace

std::unique_ptr<peer> make_millrace() { return std::make_unique<millrace_peer>(); }

}  // namespace millrace::bench

#include "bench/load.hpp"

namespace millrace::bench {
namespace {

constexpr auto silence_max = std::chrono::seconds(30);
constexpr std::uint32_t credit_messages = 20'000;

/// What all consumers of a run share; they run on one thread.
struct consuming {
    const load_settings& settings;
    progress& shared;
    side_result result;
    checklist came;
    bool ending = false;

    void fail(const std::string& what) {
        if (result.failure.empty()) result.failure = what;
        shared.failed = true;
    }

    bool is_over() const { return shared.failed || came.count() >= shared.expected; }
};

class checking_consumer {
public:
    checking_consumer(boost::asio::io_context& context, consuming& all)
        : all_(all), broker_(context.get_executor(), all.settings.broker) {}

    void start() {
        broker_.async_connect([this](boost::system::error_code failed, client::broker_description d) {
            if (failed) return all_.fail("connect: " + d.refusal);
            subscribe();
        });
    }

    /// Waits until its acks are durable.
    void finish() {
        if (!consumer_) return broker_.async_close([](boost::system::error_code, client::done) {});
        consumer_.async_settle([this](boost::system::error_code failed, client::settlement s) {
            if (failed) all_.fail("ack: " + s.refusal);
            if (!s.lost.empty()) all_.fail("acks were lost");
            all_.result.ended = steady::now();
            broker_.async_close([](boost::system::error_code, client::done) {});
        });
    }

private:
    void subscribe() {
        client::subscribe_options options;
        options.credit_messages = credit_messages;
        broker_.async_subscribe(all_.settings.topic, all_.settings.subscription, options, [this](boost::system::error_code failed, client::consumer c) {
            if (failed) return all_.fail("subscribe: " + c.refusal());
            consumer_ = std::move(c);
            receive();
        });
    }

    void receive() {
        consumer_.async_receive([this](boost::system::error_code failed, client::received batch) {
            if (all_.ending) return;
            if (failed) return all_.fail("receive: " + batch.refusal);
            const auto now = steady::now();
            for (const auto& d : batch.deliveries) check(d, now);
            receive();
        });
    }

    void check(const client::delivery& d, steady::time_point now) {
        payload_head head{};
        if (!read_payload(d.message.payload, head) || d.message.payload.size() != all_.settings.size_of(head.id))
            return all_.fail("sequence " + std::to_string(d.sequence.value) + " is not what was published");
        if (all_.came.tick(head.id)) {
            if (all_.result.messages++ == 0) all_.result.began = now;
            all_.result.ended = now;
            all_.result.latency.add(now - steady::time_point(steady::duration(head.sent_at)));
        } else {
            ++all_.result.repeated;
        }
        if (all_.settings.leave_every == 0 || d.sequence.value % all_.settings.leave_every != 0)
            consumer_.ack(d);
        else
            consumer_.set_aside(d);
    }

    consuming& all_;
    client::connection broker_;
    client::consumer consumer_;
};

/// Looks every few milliseconds whether all is done, and gives up when nothing comes any more.
class watch {
public:
    watch(boost::asio::io_context& context, consuming& all, std::vector<std::unique_ptr<checking_consumer>>& consumers)
        : all_(all), consumers_(consumers), timer_(context) {
        look();
    }

private:
    void look() {
        const auto now = steady::now();
        if (all_.came.count() != seen_) {
            seen_ = all_.came.count();
            seen_at_ = now;
        }
        if (now - seen_at_ > silence_max)
            all_.fail("nothing came for 30 s: " + std::to_string(seen_) + " of " + std::to_string(all_.shared.expected.load()) + " messages");
        if (all_.is_over()) {
            all_.ending = true;
            for (auto& c : consumers_) c->finish();
            return;
        }
        timer_.expires_after(std::chrono::milliseconds(5));
        timer_.async_wait([this](boost::system::error_code) { look(); });
    }

    consuming& all_;
    std::vector<std::unique_ptr<checking_consumer>>& consumers_;
    boost::asio::steady_timer timer_;
    std::uint64_t seen_ = 0;
    steady::time_point seen_at_ = steady::now();
};

}  // namespace

side_result run_consumers(const load_settings& settings, progress& shared) {
    boost::asio::io_context context(1);
    consuming all{settings, shared, {}, {}, false};
    std::vector<std::unique_ptr<checking_consumer>> consumers;
    for (std::uint32_t i = 0; i < settings.consumers; ++i) consumers.push_back(std::make_unique<checking_consumer>(context, all));
    for (auto& c : consumers) c->start();
    watch watching(context, all, consumers);
    context.run();
    if (all.result.failure.empty() && all.result.repeated > 0)
        all.result.failure = std::to_string(all.result.repeated) + " messages came more than once";
    return std::move(all.result);
}

}  // namespace millrace::bench

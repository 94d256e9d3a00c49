// NATS JetStream by libnats: each publish and each ack is a request whose answer comes to an inbox of its own. A push consumer, for the library's pull
// consumers fetch by calls that wait.
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <nats/nats.h>

#include "bench/load.hpp"
#include "bench/peers/peers.hpp"

namespace millrace::bench {
namespace {

constexpr std::int64_t unacked_max = 20'000;

void check(const char* what, natsStatus status) {
    if (status != NATS_OK) throw std::runtime_error(std::string(what) + ": " + natsStatus_GetText(status));
}

struct freed {
    void operator()(natsConnection* c) const { natsConnection_Destroy(c); }
    void operator()(natsOptions* o) const { natsOptions_Destroy(o); }
    void operator()(natsSubscription* s) const { natsSubscription_Destroy(s); }
    void operator()(natsInbox* i) const { natsInbox_Destroy(i); }
    void operator()(natsMsg* m) const { natsMsg_Destroy(m); }
    void operator()(jsCtx* c) const { jsCtx_Destroy(c); }
};
template <class T>
using handle = std::unique_ptr<T, freed>;

handle<natsConnection> connect(const load_settings& settings) {
    natsOptions* made = nullptr;
    check("options", natsOptions_Create(&made));
    handle<natsOptions> options(made);
    check("server", natsOptions_SetURL(options.get(), ("nats://" + settings.server).c_str()));
    check("no reconnect", natsOptions_SetAllowReconnect(options.get(), false));
    check("threads", natsOptions_UseGlobalMessageDelivery(options.get(), settings.topics > 1));  // else each subscription has its own
    check("send at once", natsOptions_SetSendAsap(options.get(), settings.sends_at_once()));
    natsConnection* connected = nullptr;
    check("connect", natsConnection_Connect(&connected, options.get()));
    return handle<natsConnection>(connected);
}

handle<jsCtx> jetstream(natsConnection* broker) {
    jsCtx* made = nullptr;
    check("JetStream", natsConnection_JetStream(&made, broker, nullptr));
    return handle<jsCtx>(made);
}

/// What the library's threads bring, for the thread of the side.
class arrivals {
public:
    void bring(natsMsg* message) {
        std::lock_guard lock(mutex_);
        came_.emplace_back(message);
        if (came_.size() == 1) some_came_.notify_one();
    }

    /// Empty at `until`.
    std::vector<handle<natsMsg>> take(steady::time_point until) {
        std::unique_lock lock(mutex_);
        some_came_.wait_until(lock, until, [&] { return !came_.empty(); });
        return std::exchange(came_, {});
    }

private:
    std::mutex mutex_;
    std::condition_variable some_came_;
    std::vector<handle<natsMsg>> came_;
};

void on_arrival(natsConnection*, natsSubscription*, natsMsg* message, void* to) { static_cast<arrivals*>(to)->bring(message); }

/// Answers come to PREFIX.SLOT.
class inbox {
public:
    inbox(natsConnection* broker, arrivals& to) {
        natsInbox* made = nullptr;
        check("inbox", natsInbox_Create(&made));
        prefix_ = std::string(handle<natsInbox>(made).get()) + ".";
        natsSubscription* subscribed = nullptr;
        check("inbox", natsConnection_Subscribe(&subscribed, broker, (prefix_ + "*").c_str(), on_arrival, &to));
        subscription_.reset(subscribed);
        check("inbox", natsSubscription_SetPendingLimits(subscribed, -1, -1));
    }

    std::string address(std::uint64_t slot) const { return prefix_ + std::to_string(slot); }

    static std::uint64_t slot_of(natsMsg* answer) {
        const std::string_view subject = natsMsg_GetSubject(answer);
        std::uint64_t slot = 0;
        std::from_chars(subject.data() + subject.rfind('.') + 1, subject.data() + subject.size(), slot);
        return slot;
    }

private:
    std::string prefix_;
    handle<natsSubscription> subscription_;
};

std::string_view data_of(natsMsg* m) { return {natsMsg_GetData(m), static_cast<std::size_t>(natsMsg_GetDataLength(m))}; }

class publishing final : public publishing_side {
public:
    publishing(const load_settings& settings, answer_handler answered) : subjects_(settings.topic_names()), answered_(std::move(answered)) {
        for (std::uint32_t i = 0; i < settings.producer_connections(); ++i) {
            auto broker = connect(settings);
            auto answers = std::make_unique<inbox>(broker.get(), arrivals_);
            connections_.push_back({std::move(broker), std::move(answers)});
        }
    }

    void publish(std::uint64_t slot, std::uint32_t producer, std::string payload) override {
        auto& c = connections_[producer % connections_.size()];
        const auto& subject = subjects_[producer % subjects_.size()];
        check("publish", natsConnection_PublishRequest(c.broker.get(), subject.c_str(), c.answers->address(slot).c_str(), payload.data(), static_cast<int>(payload.size())));
    }

    void wait(steady::time_point until) override {
        for (const auto& answer : arrivals_.take(until)) {
            if (data_of(answer.get()).find("\"error\"") != std::string_view::npos || natsMsg_IsNoResponders(answer.get()))
                throw std::runtime_error("publish: NATS answered " + std::string(data_of(answer.get())));
            answered_(inbox::slot_of(answer.get()));
        }
    }

private:
    struct connection {
        handle<natsConnection> broker;
        std::unique_ptr<inbox> answers;  // ends first
    };

    const std::vector<std::string> subjects_;
    const answer_handler answered_;
    arrivals arrivals_;
    std::vector<connection> connections_;
};

class consuming final : public consuming_side {
public:
    consuming(const load_settings& settings, message_handler received) : received_(std::move(received)) {
        for (std::uint32_t i = 0; i < settings.consumers; ++i) {
            connection c;
            c.broker = connect(settings);
            c.jetstream = jetstream(c.broker.get());
            c.answers = std::make_unique<inbox>(c.broker.get(), answers_);
            for (const auto& subject : settings.topic_names()) c.subscriptions.push_back(subscribe(c.jetstream.get(), subject, settings.subscription));
            connections_.push_back(std::move(c));
        }
    }

    void wait(steady::time_point until) override {
        for (const auto& message : messages_.take(until))
            if (received_(data_of(message.get()))) ack(message.get());
        for (const auto& answer : answers_.take(steady::now())) on_ack_answer(answer.get());
    }

    void finish() override {
        const auto until = steady::now() + silence_max;
        while (unanswered_ > 0) {
            const auto came = answers_.take(until);
            if (came.empty()) throw std::runtime_error("ack: no answer for 30 s");
            for (const auto& answer : came) on_ack_answer(answer.get());
        }
    }

private:
    struct connection {
        handle<natsConnection> broker;
        handle<jsCtx> jetstream;
        std::unique_ptr<inbox> answers;
        std::vector<handle<natsSubscription>> subscriptions;  // end first
    };

    handle<natsSubscription> subscribe(jsCtx* broker, const std::string& subject, const std::string& name) {
        jsSubOptions options;
        jsSubOptions_Init(&options);
        options.ManualAck = true;
        options.Stream = subject.c_str();
        options.Queue = name.c_str();
        options.Config.Durable = name.c_str();
        options.Config.AckPolicy = js_AckExplicit;
        options.Config.MaxAckPending = unacked_max;
        natsSubscription* subscribed = nullptr;
        check("subscribe", js_Subscribe(&subscribed, broker, subject.c_str(), on_arrival, &messages_, nullptr, &options, nullptr));
        handle<natsSubscription> subscription(subscribed);
        check("subscribe", natsSubscription_SetPendingLimits(subscribed, -1, -1));
        return subscription;
    }

    void ack(natsMsg* message) {
        auto& c = connections_[acks_ % connections_.size()];
        check("ack", natsConnection_PublishRequest(c.broker.get(), natsMsg_GetReply(message), c.answers->address(acks_++).c_str(), "+ACK", 4));
        ++unanswered_;
    }

    void on_ack_answer(natsMsg* answer) {
        if (natsMsg_IsNoResponders(answer)) throw std::runtime_error("ack: NATS has no such consumer");
        --unanswered_;
    }

    const message_handler received_;
    arrivals messages_;
    arrivals answers_;
    std::uint64_t acks_ = 0;
    std::uint64_t unanswered_ = 0;
    std::vector<connection> connections_;
};

class nats_peer final : public peer_of<publishing, consuming> {
public:
    void set_up(const load_settings& settings, bool) override {
        if (!settings.own_topic) return;
        const auto broker = connect(settings);
        const auto js = jetstream(broker.get());
        for (const auto& name : settings.topic_names()) {
            const char* subject = name.c_str();
            jsStreamConfig config;
            jsStreamConfig_Init(&config);
            config.Name = subject;
            config.Subjects = &subject;
            config.SubjectsLen = 1;
            config.Storage = js_FileStorage;
            check("make the stream", js_AddStream(nullptr, js.get(), &config, nullptr, nullptr));
        }
    }

    void tear_down(const load_settings& settings, bool) override {
        if (!settings.own_topic) return;
        const auto broker = connect(settings);
        const auto js = jetstream(broker.get());
        for (const auto& name : settings.topic_names()) check("delete the stream", js_DeleteStream(js.get(), name.c_str(), nullptr, nullptr));
    }
};

}  // namespace

std::unique_ptr<peer> make_nats() { return std::make_unique<nats_peer>(); }

}  // namespace millrace::bench

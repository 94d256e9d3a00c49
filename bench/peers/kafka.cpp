// Kafka by librdkafka: every message is reported as delivered by all replicas that are in step, and acks are offsets of a group, committed and answered.
#include <cerrno>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench/load.hpp"
#include "bench/peers/peers.hpp"
#include "bench/peers/sockets.hpp"

namespace millrace::bench {
namespace {

constexpr int connect_ms_max = 10'000;
constexpr int answer_ms_max = 30'000;
constexpr const char* administer_ms_max = "20000";  // then the library says what it waited for
constexpr std::size_t messages_a_take = 1'000;
constexpr const char* prefetch = "20000";

[[noreturn]] void fail(const std::string& what, rd_kafka_resp_err_t error) { throw std::runtime_error(what + ": " + rd_kafka_err2str(error)); }

void check(const char* what, rd_kafka_resp_err_t error) {
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail(what, error);
}

struct freed {
    void operator()(rd_kafka_t* k) const { rd_kafka_destroy(k); }  // a consumer leaves its group
    void operator()(rd_kafka_conf_t* c) const { rd_kafka_conf_destroy(c); }
    void operator()(rd_kafka_queue_t* q) const { rd_kafka_queue_destroy(q); }
    void operator()(rd_kafka_event_t* e) const { rd_kafka_event_destroy(e); }
    void operator()(rd_kafka_topic_t* t) const { rd_kafka_topic_destroy(t); }
    void operator()(rd_kafka_message_t* m) const { rd_kafka_message_destroy(m); }
    void operator()(rd_kafka_topic_partition_list_t* l) const { rd_kafka_topic_partition_list_destroy(l); }
    void operator()(rd_kafka_NewTopic_t* t) const { rd_kafka_NewTopic_destroy(t); }
    void operator()(rd_kafka_DeleteTopic_t* t) const { rd_kafka_DeleteTopic_destroy(t); }
};
template <class T>
using handle = std::unique_ptr<T, freed>;

using options = std::vector<std::pair<const char*, std::string>>;

/// Has heard from a broker when it returns.
handle<rd_kafka_t> connect(const load_settings& settings, rd_kafka_type_t type, options more = {}) {
    char why[512];
    handle<rd_kafka_conf_t> made(rd_kafka_conf_new());
    more.insert(more.end(), {{"bootstrap.servers", settings.server}, {"socket.nagle.disable", "true"}});
    for (const auto& [name, value] : more)
        if (rd_kafka_conf_set(made.get(), name, value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) throw std::runtime_error(why);
    if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_events(made.get(), RD_KAFKA_EVENT_DR);
    handle<rd_kafka_t> client(rd_kafka_new(type, made.get(), why, sizeof why));
    if (!client) throw std::runtime_error(why);
    made.release();  // it is the client's
    const rd_kafka_metadata_t* cluster = nullptr;
    check("connect", rd_kafka_metadata(client.get(), 0, nullptr, &cluster, connect_ms_max));
    rd_kafka_metadata_destroy(cluster);
    return client;
}

/// Rung by the library's threads when something comes to a queue that was empty.
class bell {
public:
    bell() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    ~bell() { ::close(fd_); }
    bell(const bell&) = delete;
    bell& operator=(const bell&) = delete;

    void ring_for(rd_kafka_queue_t* queue) const {
        const std::uint64_t once = 1;
        rd_kafka_queue_io_event_enable(queue, fd_, &once, sizeof once);
    }

    /// What it has rung for is to be taken after this, not before.
    void wait(steady::time_point until) const {
        std::vector<pollfd> sockets{{fd_, POLLIN, 0}};
        wait_ready(sockets, until);
        std::uint64_t rung;
        if (::read(fd_, &rung, sizeof rung) < 0 && errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "eventfd");
    }

private:
    int fd_;
};

class publishing final : public publishing_side {
public:
    publishing(const load_settings& settings, answer_handler answered) : answered_(std::move(answered)) {
        for (std::uint32_t i = 0; i < settings.producer_connections(); ++i) {
            connection c;
            c.client = connect(settings, RD_KAFKA_PRODUCER, {{"acks", "all"}, {"enable.idempotence", "true"}, {"linger.ms", settings.sends_at_once() ? "0" : "1"}});
            for (const auto& name : settings.topic_names()) c.topics.emplace_back(rd_kafka_topic_new(c.client.get(), name.c_str(), nullptr));
            c.reports.reset(rd_kafka_queue_get_main(c.client.get()));
            bell_.ring_for(c.reports.get());
            connections_.push_back(std::move(c));
        }
    }

    void publish(std::uint64_t slot, std::uint32_t producer, std::string payload) override {
        auto& c = connections_[producer % connections_.size()];
        auto* topic = c.topics[producer % c.topics.size()].get();
        if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload.data(), payload.size(), nullptr, 0, reinterpret_cast<void*>(slot)) != 0)
            fail("publish", rd_kafka_last_error());
    }

    void wait(steady::time_point until) override {
        const auto before = answers_;
        do {
            for (auto& c : connections_) take_reports(c);
            if (answers_ != before) return;
            bell_.wait(until);
        } while (steady::now() < until);
    }

private:
    struct connection {
        handle<rd_kafka_t> client;
        std::vector<handle<rd_kafka_topic_t>> topics;  // end first
        handle<rd_kafka_queue_t> reports;
    };

    void take_reports(connection& c) {
        while (const handle<rd_kafka_event_t> event{rd_kafka_queue_poll(c.reports.get(), 0)}) {
            while (const auto* report = rd_kafka_event_message_next(event.get())) {
                check("publish", report->err);
                ++answers_;
                answered_(reinterpret_cast<std::uint64_t>(report->_private));
            }
        }
    }

    const answer_handler answered_;
    const bell bell_;  // ends after who rings it
    std::vector<connection> connections_;
    std::uint64_t answers_ = 0;
};

/// Each consumer has one commit under way; what it took meanwhile goes with the next.
class consuming final : public consuming_side {
public:
    consuming(const load_settings& settings, message_handler received) : received_(std::move(received)) {
        handle<rd_kafka_topic_partition_list_t> topics(rd_kafka_topic_partition_list_new(static_cast<int>(settings.topics)));
        for (const auto& name : settings.topic_names()) rd_kafka_topic_partition_list_add(topics.get(), name.c_str(), RD_KAFKA_PARTITION_UA);
        for (std::uint32_t i = 0; i < settings.consumers; ++i) {
            consumer c;
            c.client = connect(settings, RD_KAFKA_CONSUMER, {{"group.id", settings.subscription}, {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"},
                                                             {"auto.offset.reset", "earliest"}, {"queued.min.messages", prefetch}});
            check("subscribe", rd_kafka_poll_set_consumer(c.client.get()));
            c.messages.reset(rd_kafka_queue_get_consumer(c.client.get()));
            c.commits.reset(rd_kafka_queue_new(c.client.get()));
            bell_.ring_for(c.messages.get());
            bell_.ring_for(c.commits.get());
            check("subscribe", rd_kafka_subscribe(c.client.get(), topics.get()));
            consumers_.push_back(std::move(c));
        }
        wait_until_assigned();
    }

    void wait(steady::time_point until) override {
        const auto before = messages_;
        do {
            for (auto& c : consumers_) take(c);
            if (messages_ != before) return;
            bell_.wait(until);
        } while (steady::now() < until);
    }

    void finish() override {
        const auto until = steady::now() + silence_max;
        for (auto& c : consumers_) {
            for (take_commits(c); !c.is_settled(); take_commits(c)) {
                if (steady::now() > until) throw std::runtime_error("commit: no answer for 30 s");
                bell_.wait(until);
            }
        }
    }

private:
    struct consumer {
        handle<rd_kafka_t> client;
        handle<rd_kafka_queue_t> messages;  // end first
        handle<rd_kafka_queue_t> commits;
        std::map<std::pair<std::string, std::int32_t>, std::int64_t> uncommitted;  // by topic and partition: the offset after the last that was taken
        bool is_committing = false;

        bool is_settled() const { return !is_committing && uncommitted.empty(); }
    };

    /// Nothing is taken before: what one consumer had of a partition that goes to another would come twice.
    void wait_until_assigned() const {
        const auto until = steady::now() + silence_max;
        for (const auto& c : consumers_) {
            while (assigned_partitions(c) == 0) {
                if (steady::now() > until) throw std::runtime_error("subscribe: " + std::to_string(consumers_.size()) + " consumers have not a partition each after 30 s");
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
            }
        }
    }

    static int assigned_partitions(const consumer& c) {
        rd_kafka_topic_partition_list_t* assigned = nullptr;
        check("subscribe", rd_kafka_assignment(c.client.get(), &assigned));
        return handle<rd_kafka_topic_partition_list_t>(assigned)->cnt;
    }

    void take(consumer& c) {
        rd_kafka_message_t* batch[messages_a_take];
        for (;;) {
            const auto count = rd_kafka_consume_batch_queue(c.messages.get(), 0, batch, messages_a_take);
            if (count < 0) fail("consume", rd_kafka_last_error());
            if (count == 0) break;
            const std::vector<handle<rd_kafka_message_t>> messages(batch, batch + count);
            for (const auto& m : messages) hand_over(c, *m);
            commit(c);
        }
        take_commits(c);
    }

    void hand_over(consumer& c, const rd_kafka_message_t& m) {
        check("consume", m.err);
        ++messages_;
        if (!received_({static_cast<const char*>(m.payload), m.len})) throw std::runtime_error("Kafka commits all messages before one, and none can be left");
        c.uncommitted[{rd_kafka_topic_name(m.rkt), m.partition}] = m.offset + 1;
    }

    void commit(consumer& c) {
        if (c.is_committing || c.uncommitted.empty()) return;
        const handle<rd_kafka_topic_partition_list_t> offsets(rd_kafka_topic_partition_list_new(static_cast<int>(c.uncommitted.size())));
        for (const auto& [partition, offset] : std::exchange(c.uncommitted, {}))
            rd_kafka_topic_partition_list_add(offsets.get(), partition.first.c_str(), partition.second)->offset = offset;
        c.is_committing = true;
        check("commit", rd_kafka_commit_queue(c.client.get(), offsets.get(), c.commits.get(), nullptr, nullptr));
    }

    void take_commits(consumer& c) {
        while (const handle<rd_kafka_event_t> event{rd_kafka_queue_poll(c.commits.get(), 0)}) {
            check("commit", rd_kafka_event_error(event.get()));
            c.is_committing = false;
            commit(c);
        }
    }

    const message_handler received_;
    const bell bell_;  // ends after who rings it
    std::vector<consumer> consumers_;
    std::uint64_t messages_ = 0;
};

/// The answer to what was asked for by `ask`, which is given the client and the queue for it.
template <class Ask>
handle<rd_kafka_event_t> administer(const load_settings& settings, const char* what, Ask ask) {
    const auto client = connect(settings, RD_KAFKA_PRODUCER, {{"socket.timeout.ms", administer_ms_max}});
    const handle<rd_kafka_queue_t> answers(rd_kafka_queue_new(client.get()));
    ask(client.get(), answers.get());
    handle<rd_kafka_event_t> answer(rd_kafka_queue_poll(answers.get(), answer_ms_max));
    if (!answer) throw std::runtime_error(std::string(what) + ": no answer for 30 s");
    if (rd_kafka_event_error(answer.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(std::string(what) + ": " + rd_kafka_event_error_string(answer.get()));
    return answer;
}

void check(const char* what, const rd_kafka_topic_result_t** topics, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        if (rd_kafka_topic_result_error(topics[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            throw std::runtime_error(std::string(what) + " " + rd_kafka_topic_result_name(topics[i]) + ": " + rd_kafka_topic_result_error_string(topics[i]));
}

template <class T>
std::vector<T*> pointers_to(const std::vector<handle<T>>& handles) {
    std::vector<T*> pointers;
    for (const auto& h : handles) pointers.push_back(h.get());
    return pointers;
}

/// A topic has a partition for each consumer, and as many replicas as the broker gives by itself. A group that has nothing left ends by itself.
class kafka_peer final : public peer_of<publishing, consuming> {
public:
    void set_up(const load_settings& settings, bool) override {
        if (!settings.own_topic) return;
        std::vector<handle<rd_kafka_NewTopic_t>> topics;
        char why[512];
        for (const auto& name : settings.topic_names()) {
            topics.emplace_back(rd_kafka_NewTopic_new(name.c_str(), static_cast<int>(settings.consumers), -1, why, sizeof why));
            if (!topics.back()) throw std::runtime_error(why);
        }
        const auto answer = administer(settings, "make the topics", [&](rd_kafka_t* client, rd_kafka_queue_t* to) {
            rd_kafka_CreateTopics(client, pointers_to(topics).data(), topics.size(), nullptr, to);
        });
        std::size_t count = 0;
        const auto made = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer.get()), &count);
        check("make the topic", made, count);
    }

    void tear_down(const load_settings& settings, bool) override {
        if (!settings.own_topic) return;
        std::vector<handle<rd_kafka_DeleteTopic_t>> topics;
        for (const auto& name : settings.topic_names()) topics.emplace_back(rd_kafka_DeleteTopic_new(name.c_str()));
        const auto answer = administer(settings, "delete the topics", [&](rd_kafka_t* client, rd_kafka_queue_t* to) {
            rd_kafka_DeleteTopics(client, pointers_to(topics).data(), topics.size(), nullptr, to);
        });
        std::size_t count = 0;
        const auto deleted = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(answer.get()), &count);
        check("delete the topic", deleted, count);
    }
};

}  // namespace

std::unique_ptr<peer> make_kafka() { return std::make_unique<kafka_peer>(); }

}  // namespace millrace::bench

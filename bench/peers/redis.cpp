// Redis Streams by hiredis: XADD, XREADGROUP, XACK, each pipelined and each answered.
#include <cerrno>
#include <deque>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <sys/socket.h>

#include "bench/load.hpp"
#include "bench/peers/peers.hpp"
#include "bench/peers/sockets.hpp"

namespace millrace::bench {
namespace {

constexpr const char* messages_a_read = "1000";

struct freed {
    void operator()(redisContext* c) const { redisFree(c); }
    void operator()(redisReply* r) const { freeReplyObject(r); }
};
using reply_pointer = std::unique_ptr<redisReply, freed>;

/// Sends without waiting, and takes what has come.
class redis_connection {
public:
    explicit redis_connection(const load_settings& settings) {
        const auto server = parse_server(settings.server);
        context_.reset(redisConnect(server.host.c_str(), server.port));
        if (!context_) throw std::runtime_error("connect: no memory");
        check("connect");
        context_->flags &= ~REDIS_BLOCK;  // hiredis takes EAGAIN for a failure otherwise
        ::fcntl(context_->fd, F_SETFL, O_NONBLOCK);
    }

    void send(const std::vector<std::string_view>& words) {
        std::vector<const char*> begins;
        std::vector<std::size_t> sizes;
        for (const auto& w : words) {
            begins.push_back(w.data());
            sizes.push_back(w.size());
        }
        redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), begins.data(), sizes.data());
        is_sent_ = false;
    }

    void flush() {
        int done = 0;
        if (!is_sent_ && redisBufferWrite(context_.get(), &done) != REDIS_OK) check("send");
        is_sent_ |= done != 0;
    }

    /// hiredis by itself reads 16 KiB at a time.
    void fill() {
        const auto got = ::recv(context_->fd, received_.data(), received_.size(), 0);
        if (got == 0) throw std::runtime_error("Redis has closed the connection");
        if (got < 0 && errno != EAGAIN && errno != EINTR) throw std::system_error(errno, std::generic_category(), "receive");
        if (got > 0 && redisReaderFeed(context_->reader, received_.data(), static_cast<std::size_t>(got)) != REDIS_OK)
            throw std::runtime_error(std::string("receive: ") + context_->reader->errstr);
    }

    /// False when there is none whole.
    bool take(reply_pointer& taken) {
        void* reply = nullptr;
        if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) check("receive");
        taken.reset(static_cast<redisReply*>(reply));
        if (taken && taken->type == REDIS_REPLY_ERROR) throw std::runtime_error("Redis answered: " + std::string(taken->str, taken->len));
        return taken != nullptr;
    }

    using answer = reply_pointer;

    pollfd wanted() const { return {context_->fd, static_cast<short>(is_sent_ ? POLLIN : POLLIN | POLLOUT), 0}; }

private:
    void check(const char* what) const {
        if (context_->err) throw std::runtime_error(std::string(what) + ": " + context_->errstr);
    }

    std::unique_ptr<redisContext, freed> context_;
    std::vector<char> received_ = std::vector<char>(256 << 10);
    bool is_sent_ = true;
};

class publishing final : public publishing_side {
public:
    publishing(const load_settings& settings, answer_handler answered) : streams_(settings.topic_names()), answered_(std::move(answered)) {
        for (std::uint32_t i = 0; i < settings.producer_connections(); ++i) connections_.push_back(std::make_unique<connection>(settings));
    }

    void publish(std::uint64_t slot, std::uint32_t producer, std::string payload) override {
        auto& c = *connections_[producer % connections_.size()];
        c.send({"XADD", streams_[producer % streams_.size()], "*", "p", payload});
        c.unanswered.push_back(slot);
    }

    void wait(steady::time_point until) override {
        const auto before = answers_;
        exchange(
            connections_, until,
            [&](connection& c, const reply_pointer&) {
                const auto slot = c.unanswered.front();
                c.unanswered.pop_front();
                ++answers_;
                answered_(slot);
            },
            [&] { return answers_ != before; });
    }

private:
    struct connection : redis_connection {
        using redis_connection::redis_connection;
        std::deque<std::uint64_t> unanswered;
    };

    const std::vector<std::string> streams_;
    const answer_handler answered_;
    std::vector<std::unique_ptr<connection>> connections_;
    std::uint64_t answers_ = 0;
};

/// Each connection has one read under way; the acks of what it brought go out with the next.
class consuming final : public consuming_side {
public:
    consuming(const load_settings& settings, message_handler received)
        : streams_(settings.topic_names()), group_(settings.subscription), received_(std::move(received)) {
        for (std::uint32_t i = 0; i < settings.consumers; ++i) {
            auto& c = *connections_.emplace_back(std::make_unique<connection>(settings));
            c.name = "consumer-" + std::to_string(i);
            read(c);
        }
    }

    void wait(steady::time_point until) override {
        const auto before = messages_;
        exchange(connections_, until, [&](connection& c, const reply_pointer& reply) { on_reply(c, *reply); }, [&] { return messages_ != before; });
    }

    void finish() override {
        is_ending_ = true;
        settle(connections_, [&](connection& c, const reply_pointer& reply) { on_reply(c, *reply); });
    }

private:
    struct connection : redis_connection {
        using redis_connection::redis_connection;
        std::string name;
        std::uint64_t unanswered = 0;

        bool is_settled() const { return unanswered == 0; }
    };

    void read(connection& c) {
        std::vector<std::string_view> words{"XREADGROUP", "GROUP", group_, c.name, "COUNT", messages_a_read, "BLOCK", "100", "STREAMS"};
        words.insert(words.end(), streams_.begin(), streams_.end());
        words.insert(words.end(), streams_.size(), ">");
        c.send(words);
        ++c.unanswered;
    }

    // An ack is answered by a number, a read by [[stream, [[id, ["p", payload]], …]], …], or by nothing after 100 ms.
    void on_reply(connection& c, const redisReply& reply) {
        --c.unanswered;
        if (reply.type == REDIS_REPLY_INTEGER) return;
        if (reply.type == REDIS_REPLY_ARRAY)
            for (std::size_t i = 0; i < reply.elements; ++i) on_entries(c, text_of(*reply.element[i]->element[0]), *reply.element[i]->element[1]);
        if (!is_ending_) read(c);
        c.flush();
    }

    void on_entries(connection& c, std::string_view stream, const redisReply& entries) {
        std::vector<std::string_view> ack{"XACK", stream, group_};
        for (std::size_t i = 0; i < entries.elements; ++i) {
            const auto& entry = *entries.element[i];
            ++messages_;
            if (received_(text_of(*entry.element[1]->element[1]))) ack.push_back(text_of(*entry.element[0]));
        }
        if (ack.size() == 3) return;
        c.send(ack);
        ++c.unanswered;
    }

    static std::string_view text_of(const redisReply& text) { return {text.str, text.len}; }

    const std::vector<std::string> streams_;
    const std::string group_;
    const message_handler received_;
    std::vector<std::unique_ptr<connection>> connections_;
    std::uint64_t messages_ = 0;
    bool is_ending_ = false;
};

void ask(const load_settings& settings, const std::vector<std::string_view>& words) {
    std::vector<std::unique_ptr<redis_connection>> one;
    one.push_back(std::make_unique<redis_connection>(settings));
    one.front()->send(words);
    bool is_answered = false;
    exchange(one, steady::now() + silence_max, [&](redis_connection&, const reply_pointer&) { is_answered = true; }, [&] { return is_answered; });
    if (!is_answered) throw std::runtime_error("Redis did not answer for 30 s");
}

class redis_peer final : public peer_of<publishing, consuming> {
public:
    void set_up(const load_settings& settings, bool consumes) override {
        if (!consumes) return;
        for (const auto& stream : settings.topic_names()) ask(settings, {"XGROUP", "CREATE", stream, settings.subscription, "0", "MKSTREAM"});
    }
    void tear_down(const load_settings& settings, bool) override {
        if (!settings.own_topic) return;
        for (const auto& stream : settings.topic_names()) ask(settings, {"UNLINK", stream});
    }
};

}  // namespace

std::unique_ptr<peer> make_redis() { return std::make_unique<redis_peer>(); }

}  // namespace millrace::bench

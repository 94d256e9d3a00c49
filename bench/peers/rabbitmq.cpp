// RabbitMQ by librabbitmq: publisher confirms, and acks of several messages at once; RabbitMQ answers no acks.
#include <map>
#include <stdexcept>
#include <thread>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#include "bench/load.hpp"
#include "bench/peers/peers.hpp"
#include "bench/peers/sockets.hpp"

namespace millrace::bench {
namespace {

constexpr amqp_channel_t channel = 1;
constexpr std::uint16_t prefetch = 20'000;
constexpr std::uint64_t ack_every = prefetch / 4;
constexpr std::uint8_t persistent = 2;

amqp_bytes_t bytes_of(const std::string& s) { return {s.size(), const_cast<char*>(s.data())}; }

/// One connection with one channel.
class amqp_connection {
public:
    explicit amqp_connection(const load_settings& settings) : state_(amqp_new_connection()) {
        const auto server = parse_server(settings.server);
        auto* socket = amqp_tcp_socket_new(state_);
        check("connect", amqp_socket_open(socket, server.host.c_str(), server.port));
        check("log in", amqp_login(state_, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"));
        amqp_channel_open(state_, channel);
        check("open a channel");
    }
    ~amqp_connection() {
        amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
        amqp_destroy_connection(state_);
    }
    amqp_connection(const amqp_connection&) = delete;
    amqp_connection& operator=(const amqp_connection&) = delete;

    operator amqp_connection_state_t() const { return state_; }

    void check(const char* what, int status) const {
        if (status != AMQP_STATUS_OK) throw std::runtime_error(std::string(what) + ": " + amqp_error_string2(status));
    }
    void check(const char* what) const { check(what, amqp_get_rpc_reply(state_)); }
    void check(const char* what, amqp_rpc_reply_t reply) const {
        if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
        std::string why = "no answer";
        if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) why = amqp_error_string2(reply.library_error);
        if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
            amqp_bytes_t text{};
            if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) text = static_cast<amqp_channel_close_t*>(reply.reply.decoded)->reply_text;
            if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) text = static_cast<amqp_connection_close_t*>(reply.reply.decoded)->reply_text;
            why.assign(static_cast<const char*>(text.bytes), text.len);
        }
        throw std::runtime_error(std::string(what) + ": " + why);
    }

private:
    amqp_connection_state_t state_;
};

template <class Connection>
void wait_readable(const std::vector<std::unique_ptr<Connection>>& connections, steady::time_point until) {
    std::vector<pollfd> sockets;
    for (const auto& c : connections) sockets.push_back({amqp_get_sockfd(*c), POLLIN, 0});
    wait_ready(sockets, until);
}

class publishing final : public publishing_side {
public:
    publishing(const load_settings& settings, answer_handler answered) : queues_(settings.topic_names()), answered_(std::move(answered)) {
        for (std::uint32_t i = 0; i < settings.producer_connections(); ++i) {
            auto& c = *connections_.emplace_back(std::make_unique<connection>(settings));
            amqp_confirm_select(c, channel);
            c.check("confirm.select");
        }
    }

    void publish(std::uint64_t slot, std::uint32_t producer, std::string payload) override {
        auto& c = *connections_[producer % connections_.size()];
        amqp_basic_properties_t properties{};
        properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
        properties.delivery_mode = persistent;
        const auto& queue = queues_[producer % queues_.size()];
        c.check("publish", amqp_basic_publish(c, channel, amqp_empty_bytes, bytes_of(queue), 0, 0, &properties, bytes_of(payload)));
        c.unconfirmed.emplace(++c.published, slot);
    }

    void wait(steady::time_point until) override {
        const auto before = answers_;
        do {
            for (auto& c : connections_) take_confirms(*c);
            if (answers_ != before) return;
            wait_readable(connections_, until);
        } while (steady::now() < until);
    }

private:
    struct connection : amqp_connection {
        using amqp_connection::amqp_connection;
        std::uint64_t published = 0;                          // RabbitMQ counts the same
        std::map<std::uint64_t, std::uint64_t> unconfirmed;  // slots
    };

    void take_confirms(connection& c) {
        amqp_frame_t frame;
        timeval at_once{};
        for (;;) {
            const int status = amqp_simple_wait_frame_noblock(c, &frame, &at_once);
            if (status == AMQP_STATUS_TIMEOUT) break;
            c.check("confirms", status);
            if (frame.frame_type != AMQP_FRAME_METHOD) continue;
            if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD) throw std::runtime_error(std::string("publish: RabbitMQ answered ") + amqp_method_name(frame.payload.method.id));
            const auto& ack = *static_cast<amqp_basic_ack_t*>(frame.payload.method.decoded);
            const auto end = c.unconfirmed.upper_bound(ack.delivery_tag);
            for (auto at = ack.multiple ? c.unconfirmed.begin() : std::prev(end); at != end; at = c.unconfirmed.erase(at)) {
                ++answers_;
                answered_(at->second);
            }
            amqp_maybe_release_buffers(c);
        }
    }

    const std::vector<std::string> queues_;
    const answer_handler answered_;
    std::vector<std::unique_ptr<connection>> connections_;
    std::uint64_t answers_ = 0;
};

class consuming final : public consuming_side {
public:
    consuming(const load_settings& settings, const std::string& queue_type, message_handler received)
        : queues_(settings.topic_names()), received_(std::move(received)) {
        amqp_table_entry_t from_the_first{amqp_cstring_bytes("x-stream-offset"), {AMQP_FIELD_KIND_UTF8, {}}};
        from_the_first.value.value.bytes = amqp_cstring_bytes("first");
        const amqp_table_t arguments{queue_type == "stream" ? 1 : 0, &from_the_first};
        for (std::uint32_t i = 0; i < settings.consumers; ++i) connections_.push_back(subscribe(settings, arguments));
    }

    void wait(steady::time_point until) override {
        const auto before = messages_;
        do {
            for (auto& c : connections_) take_messages(*c);
            if (messages_ != before) return;
            wait_readable(connections_, until);
        } while (steady::now() < until);
    }

    /// What is asked for after the acks on a channel is answered after them.
    void finish() override {
        for (auto& c : connections_) {
            amqp_basic_qos(*c, channel, 0, prefetch, 0);
            c->check("acks");
        }
    }

private:
    struct connection : amqp_connection {
        using amqp_connection::amqp_connection;
        std::uint64_t unacked = 0;
        std::uint64_t last = 0;
        bool has_left = false;  // some: then one ack cannot be for all before it
    };

    /// A queue of a broker that has just come back is not there at once.
    std::unique_ptr<connection> subscribe(const load_settings& settings, const amqp_table_t& arguments) const {
        const auto until = steady::now() + silence_max;
        for (;;) {
            auto c = std::make_unique<connection>(settings);
            amqp_basic_qos(*c, channel, 0, prefetch, 0);
            c->check("basic.qos");
            const auto reply = consume(*c, arguments);
            if (!is_not_found(reply) || steady::now() > until) {
                c->check("basic.consume", reply);
                return c;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }

    amqp_rpc_reply_t consume(connection& c, const amqp_table_t& arguments) const {
        amqp_rpc_reply_t reply{};
        for (const auto& queue : queues_) {
            amqp_basic_consume(c, channel, bytes_of(queue), amqp_empty_bytes, 0, 0, 0, arguments);
            reply = amqp_get_rpc_reply(c);
            if (reply.reply_type != AMQP_RESPONSE_NORMAL) break;
        }
        return reply;
    }

    static bool is_not_found(const amqp_rpc_reply_t& reply) {
        return reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD &&
               static_cast<const amqp_channel_close_t*>(reply.reply.decoded)->reply_code == AMQP_NOT_FOUND;
    }

    void take_messages(connection& c) {
        timeval at_once{};
        for (;;) {
            amqp_envelope_t envelope;
            amqp_maybe_release_buffers(c);
            const auto reply = amqp_consume_message(c, &envelope, &at_once, 0);
            if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT) break;
            c.check("consume", reply);
            const bool is_accepted = received_({static_cast<const char*>(envelope.message.body.bytes), envelope.message.body.len});
            const auto tag = envelope.delivery_tag;
            amqp_destroy_envelope(&envelope);
            ++messages_;
            if (!is_accepted && !c.has_left) ack(c);
            c.has_left |= !is_accepted;
            if (!is_accepted) continue;
            ++c.unacked;
            c.last = tag;
            if (c.has_left || c.unacked == ack_every) ack(c);
        }
        ack(c);
    }

    void ack(connection& c) {
        if (c.unacked > 0) c.check("ack", amqp_basic_ack(c, channel, c.last, !c.has_left));
        c.unacked = 0;
    }

    const std::vector<std::string> queues_;
    const message_handler received_;
    std::vector<std::unique_ptr<connection>> connections_;
    std::uint64_t messages_ = 0;
};

class rabbitmq_peer final : public peer {
public:
    explicit rabbitmq_peer(const std::string& queue_type) : queue_type_(queue_type) {}

    void set_up(const load_settings& settings, bool) override {
        if (!settings.own_topic) return;
        amqp_connection broker(settings);
        amqp_table_entry_t type{amqp_cstring_bytes("x-queue-type"), {AMQP_FIELD_KIND_UTF8, {}}};
        type.value.value.bytes = bytes_of(queue_type_);
        for (const auto& queue : settings.topic_names()) {
            amqp_queue_declare(broker, channel, bytes_of(queue), 0, 1, 0, 0, {1, &type});
            broker.check("queue.declare");
        }
    }

    void tear_down(const load_settings& settings, bool) override {
        if (!settings.own_topic) return;
        amqp_connection broker(settings);
        for (const auto& queue : settings.topic_names()) {
            amqp_queue_delete(broker, channel, bytes_of(queue), 0, 0);
            broker.check("queue.delete");
        }
    }

    std::unique_ptr<publishing_side> publish(const load_settings& settings, answer_handler answered) override {
        return std::make_unique<publishing>(settings, std::move(answered));
    }
    std::unique_ptr<consuming_side> consume(const load_settings& settings, message_handler received) override {
        return std::make_unique<consuming>(settings, queue_type_, std::move(received));
    }

private:
    const std::string queue_type_;
};

}  // namespace

std::unique_ptr<peer> make_rabbitmq(const std::string& queue_type) { return std::make_unique<rabbitmq_peer>(queue_type); }

}  // namespace millrace::bench

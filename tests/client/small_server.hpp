// A broker on loopback that says what the test wants: the other side of the Asio shell.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "millrace/client.hpp"
#include "proto/frame.hpp"
#include "proto/record.hpp"

namespace millrace::client {

/// Accepts one connection and calls `on_frame` for each frame; what that sends goes out at once.
class small_server {
    using tcp = boost::asio::ip::tcp;

public:
    static constexpr std::uint32_t batch_messages = 50;  // in a full batch, which takes half the credit

    explicit small_server(boost::asio::io_context& context)
        : acceptor_(context, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)), socket_(context) {
        acceptor_.async_accept(socket_, [this](boost::system::error_code failed) {
            if (!failed) read();
        });
    }

    std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

    std::function<void(const proto::frame&)> on_frame = [this](const proto::frame& f) {
        if (f.head->message_type() == wire::Message::Hello) welcome();
    };

    void welcome() { send(0, wire::CreateWelcome(builder_, 1, 0, builder_.CreateString("small"), 1, 1, wire::Durability::disk, 2 * batch_messages, 1u << 20)); }

    /// Answers what a client says first, and whoever consumes and does not any more.
    void take_consumers(const proto::frame& f) {
        if (f.head->message_type() == wire::Message::Hello) welcome();
        if (f.head->message_type() == wire::Message::Subscribe) send(f.head->id(), wire::CreateSubscribed(builder_, 5, 1, 30'000));
        if (f.head->message_type() == wire::Message::Unsubscribe) send(f.head->id(), wire::CreateOk(builder_));
    }

    /// Answers a Metadata request: topic 5, of one partition.
    void know_topic(std::uint64_t id, const std::string& name) {
        const std::vector<std::uint32_t> owners(1, 0);
        const auto places = wire::CreateTopicPlacesDirect(builder_, name.c_str(), 5, &owners);
        send(id, wire::CreateMetadataOk(builder_, 1, 0, builder_.CreateVector(&places, 1)));
    }

    /// Answers what a client says first, and whoever asks where topic photos is.
    void take_producers(const proto::frame& f) {
        if (f.head->message_type() == wire::Message::Hello) welcome();
        if (f.head->message_type() == wire::Message::Metadata) know_topic(f.head->id(), "photos");
    }

    /// Messages of partition 0, for the first time.
    void deliver(std::uint32_t consumer, std::uint64_t first, const std::vector<message>& messages) {
        proto::record_encoder encoder;
        std::vector<std::byte> body;
        for (const auto& m : messages) encoder.append(m, proto::compression::none, body);
        const std::vector<wire::Run> runs{wire::Run(first, 0, 0, static_cast<std::uint32_t>(messages.size()), static_cast<std::uint32_t>(body.size()), 1)};
        send(0, wire::CreateDeliverDirect(builder_, consumer, &runs), body);
    }

    template <class Table>
    void send(std::uint64_t id, flatbuffers::Offset<Table> message, std::span<const std::byte> body = {}) {
        std::vector<std::byte> bytes;
        proto::append_frame(builder_, id, message, body.size(), bytes);
        bytes.insert(bytes.end(), body.begin(), body.end());
        boost::asio::write(socket_, boost::asio::buffer(bytes));
    }

    /// Bytes that have come and were not read.
    std::size_t available() const { return socket_.available(); }

    void stop() { acceptor_.close(); socket_.close(); }
    flatbuffers::FlatBufferBuilder& builder() { return builder_; }

private:
    void read() {
        const auto room = decoder_.prepare(4096);
        socket_.async_read_some(boost::asio::buffer(room.data(), room.size()), [this](boost::system::error_code failed, std::size_t n) {
            if (failed) return;
            decoder_.commit(n);
            proto::frame f;
            while (socket_.is_open() && decoder_.next(f) == proto::frame_decoder::status::frame) on_frame(f);
            if (socket_.is_open()) read();
        });
    }

    tcp::acceptor acceptor_;
    tcp::socket socket_;
    flatbuffers::FlatBufferBuilder builder_;
    proto::frame_decoder decoder_{limits::frame_bytes};
};

inline connection_settings settings_for(const std::string& server) {
    connection_settings s;
    s.server = server;
    s.reconnect.enabled = false;
    return s;
}

}  // namespace millrace::client

// A peer that follows no rules: writes any bytes to a broker's socket and reads what comes back, frame by frame.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "millrace/message.hpp"
#include "proto/frame.hpp"
#include "tests/process/broker_process.hpp"

namespace millrace::process {

/// Who a session is, as its Welcome says.
struct session_proof {
    std::uint64_t session = 0;
    std::uint64_t key = 0;
};

/// A frame's kind, and for Goodbye and Failed its code.
struct heard_frame {
    wire::Message kind = wire::Message::NONE;
    std::uint64_t id = 0;
    errc code = errc::ok;
    session_proof proof{};           // of Welcome
    std::size_t lost = 0;            // ranges of Subscribed and Acked
};

class raw_client {
public:
    explicit raw_client(const broker_process& broker);

    /// Writes as far as the broker takes it; false when it has closed the connection, or does not read for `patience`.
    bool send(const std::vector<std::byte>& bytes);
    bool send(const std::string& bytes);

    /// As send(), but returns when the broker takes no more for a moment. False when the connection is closed.
    bool send_some(const std::vector<std::byte>& bytes);

    template <class Table>
    static std::vector<std::byte> frame(flatbuffers::FlatBufferBuilder& builder, std::uint64_t id, flatbuffers::Offset<Table> message,
                                        const std::vector<std::byte>& body = {}) {
        std::vector<std::byte> bytes;
        proto::append_frame(builder, id, message, body.size(), bytes);
        bytes.insert(bytes.end(), body.begin(), body.end());
        return bytes;
    }

    /// As frame(), sent.
    template <class Table>
    bool send(std::uint64_t id, flatbuffers::Offset<Table> message, const std::vector<std::byte>& body = {}) {
        return send(frame(builder, id, message, body));
    }

    /// Says hello in a version, as a client that comes back with a `former` session, and reads the answer.
    heard_frame greet(std::uint16_t version = proto::protocol_version, session_proof former = {});

    /// The next frame; nullopt when the connection has ended. Throws when nothing comes.
    std::optional<heard_frame> read();

    /// Reads until Goodbye, and that the connection ends after it: the code. errc::ok when the connection ended without a word.
    errc read_goodbye();

    /// The connection is closed without reading what has come: the broker sees a reset.
    void reset();

    flatbuffers::FlatBufferBuilder builder;

private:
    enum class sent { all, stuck, closed };
    sent write(const std::vector<std::byte>& bytes, milliseconds at_most);

    boost::asio::io_context io_;
    boost::asio::ip::tcp::socket socket_;
    proto::frame_decoder decoder_{limits::frame_bytes};
};

/// `count` records of a payload, end to end, as a Publish carries them.
std::vector<std::byte> records_of(const std::string& payload, std::uint32_t count = 1);

}  // namespace millrace::process

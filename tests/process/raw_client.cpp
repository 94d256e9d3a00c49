#include "tests/process/raw_client.hpp"

#include <poll.h>

#include <boost/asio/buffer.hpp>
#include <stdexcept>

#include "proto/record.hpp"

namespace millrace::process {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

bool wait_for(tcp::socket& socket, short what, milliseconds at_most = patience) {
    pollfd waited{socket.native_handle(), what, 0};
    return ::poll(&waited, 1, static_cast<int>(at_most.count())) > 0;
}

std::size_t count_of(const flatbuffers::Vector<const wire::LeaseRange*>* ranges) { return ranges ? ranges->size() : 0; }

}  // namespace

raw_client::raw_client(const broker_process& broker) : socket_(io_) {
    socket_.connect({asio::ip::make_address("127.0.0.1"), broker.port()});
    socket_.non_blocking(true);
}

raw_client::sent raw_client::write(const std::vector<std::byte>& bytes, milliseconds at_most) {
    for (std::size_t done = 0; done < bytes.size();) {
        if (!wait_for(socket_, POLLOUT, at_most)) return sent::stuck;
        boost::system::error_code failed;
        const auto n = socket_.write_some(asio::buffer(bytes.data() + done, bytes.size() - done), failed);
        if (failed && failed != asio::error::would_block) return sent::closed;
        done += n;
    }
    return sent::all;
}

bool raw_client::send(const std::vector<std::byte>& bytes) { return write(bytes, patience) == sent::all; }
bool raw_client::send_some(const std::vector<std::byte>& bytes) { return write(bytes, milliseconds{100}) != sent::closed; }

bool raw_client::send(const std::string& bytes) {
    const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
    return send(std::vector<std::byte>(begin, begin + bytes.size()));
}

heard_frame raw_client::greet(std::uint16_t version, session_proof former) {
    send(0, wire::CreateHello(builder, version, version, 0, 0, 0, former.session, former.key));
    return read().value_or(heard_frame{});
}

std::optional<heard_frame> raw_client::read() {
    for (;;) {
        proto::frame found;
        switch (decoder_.next(found)) {
            case proto::frame_decoder::status::failed: throw std::runtime_error("the broker sent " + to_string(decoder_.failure()));
            case proto::frame_decoder::status::frame: {
                heard_frame heard{found.head->message_type(), found.head->id()};
                if (const auto* goodbye = found.head->message_as_Goodbye()) heard.code = static_cast<errc>(goodbye->code());
                if (const auto* refused = found.head->message_as_Failed()) heard.code = static_cast<errc>(refused->code());
                if (const auto* welcome = found.head->message_as_Welcome()) heard.proof = {welcome->session(), welcome->session_key()};
                if (const auto* subscribed = found.head->message_as_Subscribed()) heard.lost = count_of(subscribed->lost());
                if (const auto* acked = found.head->message_as_Acked()) heard.lost = count_of(acked->lost());
                return heard;
            }
            case proto::frame_decoder::status::need_more: break;
        }
        if (!wait_for(socket_, POLLIN)) throw std::runtime_error("the broker says nothing");
        const auto space = decoder_.prepare(64 << 10);
        boost::system::error_code failed;
        const auto n = socket_.read_some(asio::buffer(space.data(), space.size()), failed);
        if (failed == asio::error::would_block) continue;
        if (failed) return std::nullopt;
        decoder_.commit(n);
    }
}

errc raw_client::read_goodbye() {
    auto code = errc::ok;
    while (const auto heard = read())
        if (heard->kind == wire::Message::Goodbye) code = heard->code;
    return code;
}

void raw_client::reset() {
    boost::system::error_code ignored;  // it may be gone already
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
}

std::vector<std::byte> records_of(const std::string& payload, std::uint32_t count) {
    proto::record_encoder encoder;
    std::vector<std::byte> out;
    for (std::uint32_t i = 0; i < count; ++i)
        if (auto refused = encoder.append({.payload = payload}, proto::compression::none, out)) throw std::runtime_error(to_string(refused));
    return out;
}

}  // namespace millrace::process

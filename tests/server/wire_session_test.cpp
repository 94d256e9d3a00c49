// One connection as the protocol sees it, without sockets and without a broker behind it.
#include <catch2/catch.hpp>

#include "broker/server/wire_session.hpp"

namespace millrace::server {
namespace {

struct conversation {
    session_settings settings;
    std::optional<wire_session> session;
    flatbuffers::FlatBufferBuilder builder;

    void begin() {
        session.emplace(core::session_id{1}, settings, timestamp{});
        say(0, wire::CreateHello(builder, proto::protocol_version, proto::protocol_version));
        REQUIRE(session->greeted());
    }

    template <class Table>
    void say(std::uint64_t id, flatbuffers::Offset<Table> message) {
        std::vector<std::byte> frame;
        proto::append_frame(builder, id, message, 0, frame);
        session->received(timestamp{}, frame);
        while (session->next()) continue;
    }

    void push(std::uint32_t consumer, std::size_t bytes) {
        driver::push p{core::session_id{1}, core::consumer_id{consumer}, {}};
        auto records = std::make_shared<std::vector<std::byte>>(bytes);
        p.run.records = *records;
        p.run.owner = records;
        session->push(std::move(p));
    }
};

}  // namespace

TEST_CASE("what waited for a consumer that has left does not make its client a slow reader") {
    conversation c;
    c.settings.unread_records_bytes = 1000;
    c.begin();
    for (std::uint64_t turn = 1; turn <= 10; ++turn) {
        c.push(1, 800);
        c.say(turn, wire::CreateUnsubscribe(c.builder, 1));
        CHECK_FALSE(c.session->closing());
    }
    c.push(2, 800);
    CHECK_FALSE(c.session->closing());
    c.push(2, 800);
    CHECK(c.session->close_reason().code == errc::slow_reader);
}

}  // namespace millrace::server

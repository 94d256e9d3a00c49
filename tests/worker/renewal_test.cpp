// When a worker renews its leases, seen by a broker that says what the test wants.
#include <catch2/catch.hpp>

#include <future>
#include <map>

#include "millrace/worker.hpp"
#include "tests/client/small_server.hpp"

using namespace millrace;
using namespace millrace::client;
using namespace std::chrono_literals;
using boost::system::error_code;

namespace {

/// A worker and its broker on one thread, the handlers on theirs, which end when the test says so.
struct scene {
    scene(std::chrono::milliseconds visibility_timeout, std::vector<message> messages)
        : jobs(broker, "photos", "resize", {.concurrency = static_cast<std::uint32_t>(messages.size()), .handler_timeout = 10min},
               [may_end = may_end.get_future().share()](const delivery&) {
                   may_end.wait();
                   return outcome::ack();
               }) {
        server.on_frame = [this, visibility_timeout, messages = std::move(messages)](const proto::frame& f) {
            auto& b = server.builder();
            const auto id = f.head->id();
            switch (f.head->message_type()) {
                case wire::Message::Hello: return server.welcome();
                case wire::Message::Subscribe:
                    server.send(id, wire::CreateSubscribed(b, 5, 1, static_cast<std::uint64_t>(visibility_timeout.count())));
                    return server.deliver(f.head->message_as_Subscribe()->consumer(), 0, messages);
                case wire::Message::Ack: return server.send(id, wire::CreateAcked(b));
                case wire::Message::Unsubscribe: return server.send(id, wire::CreateOk(b));
                case wire::Message::Start: return on_start();
                case wire::Message::Pong: return on_pong();
                case wire::Message::Extend: {
                    const auto at = f.head->message_as_Extend()->ranges()->Get(0)->first();
                    ++renewed[at];
                    return on_extend(id, at);
                }
                default: return;
            }
        };
        broker.async_connect([this](error_code, broker_description) {
            jobs.async_run([this](error_code, worker_report r) {
                report = r;
                broker.async_close([this](error_code, done) { server.stop(); });
            });
        });
    }

    /// The client answers after what it was sent before has had its effect.
    void ping() { server.send(1, wire::CreatePing(server.builder())); }

    void end() {
        jobs.drain();
        may_end.set_value();
    }

    boost::asio::io_context context;
    small_server server{context};
    connection broker{context.get_executor(), settings_for(server.address())};
    std::promise<void> may_end;
    worker jobs;
    std::map<std::uint64_t, int> renewed;  // by sequence
    worker_report report;

    std::function<void()> on_start = [] {};
    std::function<void()> on_pong = [] {};
    std::function<void(std::uint64_t id, std::uint64_t at)> on_extend = [this](std::uint64_t id, std::uint64_t) {
        server.send(id, wire::CreateAcked(server.builder()));
    };
};

}  // namespace

TEST_CASE("a lease is not renewed before a third of its visibility timeout is over") {
    scene s(1h, {{.payload = "long"}});
    int pongs = 0;
    s.on_start = [&] { s.ping(); };
    s.on_pong = [&] { ++pongs < 10 ? s.ping() : s.end(); };
    s.context.run();
    CHECK(s.renewed.empty());
    CHECK(s.report.acked == 1);
}

TEST_CASE("a lease that is lost or as old as it may get is not renewed again, others are") {
    enum class answer { lost, refused, limited };
    const auto how = GENERATE(answer::lost, answer::refused, answer::limited);
    scene s(30ms, {{.payload = "hopeless"}, {.payload = "long"}});
    bool is_known = false;  // to the worker
    int then = 0;
    s.on_extend = [&](std::uint64_t id, std::uint64_t at) {
        auto& b = s.server.builder();
        if (at == 1) {
            s.server.send(id, wire::CreateAcked(b));
            if (is_known && ++then == 4) s.end();
            return;
        }
        CHECK_FALSE(is_known);
        const std::vector<wire::LeaseRange> range{wire::LeaseRange(0, 0, 0, 1)}, none;
        if (how == answer::lost) s.server.send(id, wire::CreateAckedDirect(b, &range));
        if (how == answer::refused) s.server.send(id, wire::CreateFailed(b, static_cast<std::uint16_t>(errc::lease_lost), b.CreateString("gone")));
        if (how == answer::limited) s.server.send(id, wire::CreateAckedDirect(b, &none, &range));
        if (s.renewed[0] == 1) s.ping();
    };
    s.on_pong = [&] { is_known = true; };
    s.context.run();
    CHECK(is_known);
    CHECK(then >= 4);
    CHECK(s.report.acked == 2);
}

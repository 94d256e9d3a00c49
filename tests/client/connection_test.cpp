// The Asio shell against a server on loopback that says what the test wants.
#include <catch2/catch.hpp>

#include <array>
#include <functional>
#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "tests/client/small_server.hpp"

using namespace millrace;
using namespace millrace::client;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

template <class T>
auto into(std::vector<std::pair<error_code, T>>& out) {
    return [&out](error_code failed, T result) { out.emplace_back(failed, std::move(result)); };
}

bool is(const error_code& code, errc expected) { return code == make_error_code(expected); }

}  // namespace

TEST_CASE("a refused, unresolvable or misspelt server is a named error") {
    const auto server = GENERATE("127.0.0.1:1", "localhost", "127.0.0.1:", ":7070", "no-such-host.invalid:7070");
    asio::io_context context;
    auto settings = settings_for(server);
    settings.connect_timeout = 200ms;  // a resolver may think for longer
    connection broker(context.get_executor(), settings);
    std::vector<std::pair<error_code, broker_description>> connected;
    broker.async_connect(into(connected));
    context.run();
    REQUIRE(connected.size() == 1);
    CHECK((is(connected[0].first, errc::connection_lost) || is(connected[0].first, errc::invalid_argument) || is(connected[0].first, errc::timed_out)));
    CHECK(connected[0].second.refusal.find(server) != std::string::npos);
}

TEST_CASE("a server that never says welcome times out") {
    asio::io_context context;
    small_server server(context);
    server.on_frame = [](const proto::frame&) {};
    auto settings = settings_for(server.address());
    settings.connect_timeout = 200ms;
    connection broker(context.get_executor(), settings);
    std::vector<std::pair<error_code, broker_description>> connected;
    broker.async_connect([&](error_code failed, broker_description d) {
        connected.emplace_back(failed, d);
        server.stop();
    });
    context.run();
    REQUIRE(connected.size() == 1);
    CHECK(is(connected[0].first, errc::timed_out));
}

TEST_CASE("operations without a connection end with an error, later") {
    asio::io_context context;
    connection broker(context.get_executor());
    std::vector<std::pair<error_code, receipt>> published;
    std::vector<std::pair<error_code, name_list>> listed;
    std::vector<std::pair<error_code, done>> closed;
    int subscribed = 0;
    broker.async_publish("photos", {}, into(published));
    broker.async_list_topics("", into(listed));
    broker.async_subscribe("photos", "resize", {}, [&](error_code failed, consumer c) { subscribed += is(failed, errc::connection_lost) && !c; });
    broker.async_close(into(closed));
    CHECK((published.empty() && listed.empty() && closed.empty() && subscribed == 0));
    context.run();
    CHECK(is(published.at(0).first, errc::connection_lost));
    CHECK(is(listed.at(0).first, errc::connection_lost));
    CHECK(subscribed == 1);
    CHECK_FALSE(closed.at(0).first);
}

TEST_CASE("an operation that is started later, wherever it was moved in between, keeps what it needs of its connection") {
    asio::io_context context;
    asio::io_context another;
    std::optional<connection> broker(std::in_place, context.get_executor());
    std::optional first(broker->async_publish("photos", message{}, asio::deferred));
    if (GENERATE(false, true)) broker.emplace(another.get_executor());  // which stands where the first one stood
    auto second = std::move(*first);
    first.reset();
    std::vector<std::pair<error_code, receipt>> published;
    std::move(second)(into(published));
    context.run();
    REQUIRE(published.size() == 1);
    CHECK(is(published[0].first, errc::connection_lost));
}

TEST_CASE("answers come to their handlers, and closing waits for them") {
    asio::io_context context;
    small_server server(context);
    server.on_frame = [&](const proto::frame& f) {
        auto& b = server.builder();
        if (f.head->message_type() == wire::Message::Hello) server.welcome();
        if (f.head->message_type() == wire::Message::ListTopics) {
            const std::vector<flatbuffers::Offset<flatbuffers::String>> names{b.CreateString("photos")};
            server.send(f.head->id(), wire::CreateTopicsDirect(b, &names));
        }
        if (f.head->message_type() == wire::Message::PurgeTopic)
            server.send(f.head->id(), wire::CreateFailed(b, static_cast<std::uint16_t>(errc::no_such_topic), b.CreateString("not here")));
    };
    connection broker(context.get_executor(), settings_for(server.address()));
    std::vector<std::pair<error_code, name_list>> listed;
    std::vector<std::pair<error_code, done>> purged, closed;
    broker.async_connect([&](error_code failed, broker_description d) {
        CHECK_FALSE(failed);
        CHECK(d.broker == "small");
        broker.async_list_topics("", into(listed));
        broker.async_purge_topic("photos", into(purged));
        broker.async_close([&](error_code, done) {
            closed.emplace_back();
            server.stop();
        });
    });
    context.run();
    CHECK(listed.at(0).second.names == std::vector<std::string>{"photos"});
    CHECK(is(purged.at(0).first, errc::no_such_topic));
    CHECK(purged.at(0).second.refusal == "not here");
    CHECK(closed.size() == 1);
}

TEST_CASE("closing ends whoever waits for messages, and leaves nothing behind that keeps the executor running") {
    asio::io_context context;
    small_server server(context);
    server.on_frame = [&](const proto::frame& f) { server.take_consumers(f); };
    connection broker(context.get_executor(), settings_for(server.address()));
    std::array<consumer, 2> consumers;
    std::vector<std::pair<error_code, received>> got;
    std::size_t waiting = 0;
    int closed = 0;
    broker.async_connect([&](error_code, broker_description) {
        for (auto& c : consumers)
            broker.async_subscribe("photos", "resize", {}, [&](error_code failed, consumer opened) {
                CHECK_FALSE(failed);
                c = std::move(opened);
                c.async_receive(into(got));
                if (++waiting < consumers.size()) return;
                broker.async_close([&](error_code, done) {
                    ++closed;
                    server.stop();
                });
            });
    });
    context.run();  // returns: nobody waits for ever
    CHECK(closed == 1);
    REQUIRE(got.size() == 2);
    for (const auto& [failed, batch] : got) CHECK(is(failed, errc::canceled));
    consumers[0].async_receive(into(got));
    context.restart();
    context.run();
    CHECK(is(got.at(2).first, errc::canceled));
}

TEST_CASE("a consumer that is closed, or dropped, ends whoever waits for its messages, while its connection lives on") {
    const auto is_dropped = GENERATE(false, true);
    asio::io_context context;
    small_server server(context);
    server.on_frame = [&](const proto::frame& f) { server.take_consumers(f); };
    connection broker(context.get_executor(), settings_for(server.address()));
    consumer photos;
    consumer others;
    std::vector<std::pair<error_code, received>> got;
    std::size_t ended_by_the_consumer = 0;
    broker.async_connect([&](error_code, broker_description) {
        broker.async_subscribe("photos", "index", {}, [&](error_code, consumer opened) { others = std::move(opened); });
        broker.async_subscribe("photos", "resize", {}, [&](error_code, consumer opened) {
            photos = std::move(opened);
            photos.async_receive(into(got));
            if (is_dropped) photos = {};
            (is_dropped ? others : photos).async_close([&](error_code failed, done) {
                CHECK_FALSE(failed);
                ended_by_the_consumer = got.size();
                broker.async_close([&](error_code, done) { server.stop(); });
            });
        });
    });
    context.run();
    REQUIRE(ended_by_the_consumer == 1);
    CHECK(is(got[0].first, errc::canceled));
}

TEST_CASE("a server that hangs up before its welcome ends the connecting") {
    asio::io_context context;
    small_server server(context);
    server.on_frame = [&](const proto::frame&) { server.stop(); };
    auto settings = settings_for(server.address());
    settings.reconnect.enabled = true;  // it comes back only where it has been
    connection broker(context.get_executor(), settings);
    std::vector<std::pair<error_code, broker_description>> connected;
    broker.async_connect(into(connected));
    context.run();
    REQUIRE(connected.size() == 1);
    CHECK(is(connected[0].first, errc::connection_lost));
}

TEST_CASE("a connection may be closed or destroyed at any step of its life, everything ends, once") {
    enum class step { resolving, greeting, apart };
    const auto at = GENERATE(step::resolving, step::greeting, step::apart);
    const auto destroys = GENERATE(true, false);
    asio::io_context context;
    small_server server(context);
    auto settings = settings_for(server.address());
    settings.reconnect.enabled = true;
    std::optional<connection> broker(std::in_place, context.get_executor(), settings);
    std::vector<std::pair<error_code, broker_description>> connected;
    std::vector<std::pair<error_code, receipt>> published;
    int closed = 0;
    const auto leave = [&] {
        broker->async_publish("photos", {}, into(published));
        if (destroys) return broker.reset();
        broker->async_close([&](error_code, done) {
            ++closed;
            server.stop();
        });
    };
    server.on_frame = [&](const proto::frame& f) {
        if (at == step::greeting) leave();
        if (at != step::apart) return;
        if (f.head->message_type() == wire::Message::Hello) server.welcome();
        if (f.head->message_type() == wire::Message::ListTopics) server.stop();
    };
    broker->async_connect([&](error_code failed, broker_description d) {
        connected.emplace_back(failed, std::move(d));
        if (at == step::apart && !failed) broker->async_list_topics("", [&](error_code, name_list) { asio::post(context, leave); });
    });
    if (at == step::resolving) leave();
    if (destroys) asio::post(context, [&] { if (at == step::resolving) server.stop(); });
    context.run();
    REQUIRE(connected.size() == 1);
    CHECK((at == step::apart) != bool(connected[0].first));
    REQUIRE(published.size() == 1);
    CHECK(published[0].first);
    CHECK(closed == (destroys ? 0 : 1));
}

TEST_CASE("unanswered publishes end with the connection when they are not to be sent again") {
    asio::io_context context;
    small_server server(context);
    server.on_frame = [&](const proto::frame& f) {
        server.take_producers(f);
        if (f.head->message_type() == wire::Message::Publish) server.stop();
    };
    auto settings = settings_for(server.address());
    settings.request_timeout = 5s;  // would be the end of one that is to be sent again
    settings.reconnect.enabled = true;
    settings.reconnect.resend_unanswered = false;
    connection broker(context.get_executor(), settings);
    std::vector<std::pair<error_code, receipt>> published;
    broker.async_connect([&](error_code, broker_description) {
        broker.async_publish("photos", {}, [&](error_code failed, receipt r) {
            published.emplace_back(failed, std::move(r));
            broker.async_close([](error_code, done) {});
        });
    });
    context.run();
    REQUIRE(published.size() == 1);
    CHECK(is(published[0].first, errc::connection_lost));
}

TEST_CASE("a batch lingers as long as the settings say, or until the connection is closed") {
    asio::io_context context;
    small_server server(context);
    std::size_t batches = 0, batches_before_the_close = 1;
    server.on_frame = [&](const proto::frame& f) {
        auto& b = server.builder();
        server.take_producers(f);
        if (f.head->message_type() == wire::Message::ListTopics) server.send(f.head->id(), wire::CreateTopics(b));
        if (f.head->message_type() != wire::Message::Publish) return;
        ++batches;
        server.send(f.head->id(), wire::CreatePublished(b, 7, wire::Durability::disk));
    };
    auto settings = settings_for(server.address());
    settings.linger = 1h;
    connection broker(context.get_executor(), settings);
    std::vector<std::pair<error_code, receipt>> published;
    // Whatever the topic's answer had sent is there before the third of these.
    std::function<void(int)> ask = [&](int times) {
        broker.async_list_topics("", [&, times](error_code, name_list) {
            if (times > 1) return ask(times - 1);
            batches_before_the_close = batches;
            broker.async_close([&](error_code, done) { server.stop(); });
        });
    };
    broker.async_connect([&](error_code, broker_description) {
        broker.async_publish("photos", {}, into(published));
        ask(3);
    });
    context.run();
    CHECK(batches_before_the_close == 0);
    REQUIRE(published.size() == 1);
    CHECK_FALSE(published[0].first);
    CHECK(published[0].second.sequence.value == 7);
}

TEST_CASE("a batch that is full is on its way while the handler that filled it goes on") {
    asio::io_context context;
    small_server server(context);
    server.on_frame = [&](const proto::frame& f) {
        server.take_producers(f);
        if (f.head->message_type() == wire::Message::Publish) server.send(f.head->id(), wire::CreatePublished(server.builder(), 7, wire::Durability::disk));
    };
    connection broker(context.get_executor(), settings_for(server.address()));
    std::vector<std::pair<error_code, receipt>> published;
    std::size_t before = 1;
    bool came = false;
    const auto fill_one = [&](error_code, receipt) {
        for (std::size_t i = 1; i < small_server::batch_messages; ++i) broker.async_publish("photos", {}, into(published));
        before = server.available();
        broker.async_publish("photos", {}, into(published));
        for (const auto until = std::chrono::steady_clock::now() + 20s; !came && std::chrono::steady_clock::now() < until;) came = server.available() > 0;
        broker.async_close([&](error_code, done) { server.stop(); });
    };
    broker.async_connect([&](error_code, broker_description) { broker.async_publish("photos", {}, fill_one); });
    context.run();
    CHECK(before == 0);
    CHECK(came);
    CHECK(published.size() == small_server::batch_messages);
}

TEST_CASE("two connections with the name of a producer are told apart") {
    std::vector<std::uint64_t> incarnations;
    for (int i = 0; i < 2; ++i) {
        asio::io_context context;
        small_server server(context);
        server.on_frame = [&](const proto::frame& f) {
            if (f.head->message_type() == wire::Message::Hello) server.welcome();
            if (f.head->message_type() != wire::Message::OpenProducer) return;
            incarnations.push_back(f.head->message_as_OpenProducer()->incarnation());
            server.stop();
        };
        auto settings = settings_for(server.address());
        settings.producer = "web";
        connection broker(context.get_executor(), settings);
        broker.async_connect([](error_code, broker_description) {});
        context.run();
    }
    REQUIRE(incarnations.size() == 2);
    CHECK(incarnations[0] != incarnations[1]);
    for (const auto incarnation : incarnations) CHECK(incarnation != 0);  // 0 would say nothing
}

TEST_CASE("a server that hangs up ends everything, and the connection may connect again") {
    asio::io_context context;
    std::vector<std::pair<error_code, name_list>> listed;
    std::vector<std::pair<error_code, broker_description>> again;
    auto server = std::make_unique<small_server>(context);
    server->on_frame = [&](const proto::frame& f) {
        if (f.head->message_type() == wire::Message::Hello) return server->welcome();
        server->stop();
    };
    connection broker(context.get_executor(), settings_for(server->address()));
    broker.async_connect([&](error_code, broker_description) { broker.async_list_topics("", into(listed)); });
    context.run();
    REQUIRE(listed.size() == 1);
    CHECK(is(listed[0].first, errc::connection_lost));
    context.restart();
    broker.async_connect(into(again));
    context.run();
    CHECK(is(again.at(0).first, errc::connection_lost));
}

TEST_CASE("destroying a connection ends what is under way") {
    asio::io_context context;
    small_server server(context);
    std::vector<std::pair<error_code, name_list>> listed;
    std::vector<std::pair<error_code, broker_description>> connected;
    auto broker = std::make_unique<connection>(context.get_executor(), settings_for(server.address()));
    const bool during_connect = GENERATE(true, false);
    broker->async_connect([&](error_code failed, broker_description d) {
        connected.emplace_back(failed, d);
        if (failed) return;
        broker->async_list_topics("", into(listed));
        broker.reset();
        server.stop();
    });
    if (during_connect) {
        broker.reset();
        server.stop();
    }
    context.run();
    REQUIRE(connected.size() == 1);
    if (during_connect) {
        CHECK(is(connected[0].first, errc::canceled));
    } else {
        REQUIRE(listed.size() == 1);
        CHECK(is(listed[0].first, errc::canceled));
    }
}

namespace {

enum class waits_for { connection, topics, receipt, consumer, messages, no_messages, close };

/// A program as one writes it: everything it has is on its stack, and it waits.
asio::awaitable<void> program(std::string server, waits_for what, std::shared_ptr<bool> waiting) {
    connection broker(co_await asio::this_coro::executor, settings_for(server));
    *waiting = what == waits_for::connection;
    co_await broker.async_connect(asio::use_awaitable);
    *waiting = what == waits_for::topics || what == waits_for::receipt || what == waits_for::consumer;
    if (what == waits_for::topics) co_await broker.async_list_topics("", asio::use_awaitable);
    message photo;  // with a name: GCC 12 destroys such a temporary twice when it destroys a co_await
    subscribe_options options;
    if (what == waits_for::receipt) co_await broker.async_publish("photos", std::move(photo), asio::use_awaitable);
    auto jobs = co_await broker.async_subscribe("photos", "resize", options, asio::use_awaitable);
    *waiting = true;
    if (what == waits_for::no_messages) jobs.stop();
    if (what == waits_for::close) co_await broker.async_close(asio::use_awaitable);
    co_await jobs.async_receive(asio::use_awaitable);
}

}  // namespace

TEST_CASE("an execution context that is destroyed takes along whatever waits in it, with all that it holds") {
    const auto what = GENERATE(waits_for::connection, waits_for::topics, waits_for::receipt, waits_for::consumer, waits_for::messages, waits_for::no_messages,
                               waits_for::close);
    asio::io_context outside;
    small_server server(outside);
    server.on_frame = [&](const proto::frame& f) {
        if (f.head->message_type() == wire::Message::Hello && what != waits_for::connection) server.welcome();
        if (f.head->message_type() == wire::Message::Subscribe && what != waits_for::consumer)
            server.send(f.head->id(), wire::CreateSubscribed(server.builder(), 6, 1, 30'000));
    };
    std::weak_ptr<bool> held;
    {
        asio::io_context context;
        auto waiting = std::make_shared<bool>(false);
        held = waiting;
        asio::co_spawn(context, program(server.address(), what, waiting), asio::detached);
        while (!*waiting) {
            outside.poll();
            context.run_one_for(10ms);
        }
    }
    CHECK(held.expired());
}

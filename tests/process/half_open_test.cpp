// A client comes back on another connection while the broker still holds the old one for alive: it gets its own leases, and nobody else does.
#include <catch2/catch.hpp>

#include "tests/process/blocking_client.hpp"
#include "tests/process/raw_client.hpp"

namespace millrace::process {
namespace {

using kind = wire::Message;

struct working_client : raw_client {
    working_client(const broker_process& broker, session_proof former = {}) : raw_client(broker) {
        const auto welcome = greet(proto::protocol_version, former);
        REQUIRE(welcome.kind == kind::Welcome);
        proof = welcome.proof;
    }

    heard_frame read_answer(kind expected) {
        for (;;) {
            const auto heard = read();
            REQUIRE(heard);
            if (heard->kind == kind::Deliver) continue;
            REQUIRE(heard->kind == expected);
            return *heard;
        }
    }

    void subscribe(std::uint32_t messages) {
        send(1, wire::CreateSubscribeDirect(builder, 1, "photos", "thumbs", messages, 1u << 30));
    }

    /// How many of the leases that it shows are lost.
    std::size_t come_back_for(std::uint64_t sequence) {
        const std::vector<wire::LeaseRange> held{wire::LeaseRange(sequence, sequence, 0, 1)};
        send(1, wire::CreateSubscribeDirect(builder, 1, "photos", "thumbs", 0, 0, nullptr, &held));
        return read_answer(kind::Subscribed).lost;
    }

    void start(std::uint64_t sequence) {
        const std::vector<wire::LeaseRange> one{wire::LeaseRange(sequence, sequence, 0, 1)};
        send(0, wire::CreateStartDirect(builder, 1, &one));
    }

    /// How many of the acks came too late.
    std::size_t ack(std::uint64_t sequence) {
        const std::vector<wire::LeaseRange> one{wire::LeaseRange(sequence, sequence, 0, 1)};
        send(2, wire::CreateAckDirect(builder, 1, &one));
        return read_answer(kind::Acked).lost;
    }

    /// Everything sent before has been taken by the broker.
    bool is_alive() {
        send(3, wire::CreatePing(builder));
        return read_answer(kind::Pong).kind == kind::Pong;
    }

    session_proof proof;
};

struct photo_broker {
    scratch_directory scratch;
    broker_process broker;
    blocking_client admin{broker.address()};

    photo_broker() : broker({"--store", scratch.store()}) {
        admin.create_topic("photos");
        admin.create_subscription("photos", "thumbs");
    }

    client::subscription_progress progress() { return admin.describe("photos", "thumbs").partitions.at(0); }
};

}  // namespace

TEST_CASE("a session's key is its own, and random", "[shards]") {
    photo_broker b;
    working_client one(b.broker), other(b.broker);
    CHECK(one.proof.session != other.proof.session);
    CHECK(one.proof.key != 0);
    CHECK(one.proof.key != other.proof.key);
}

TEST_CASE("who shows the session that it had is given back what that has started, though its connection seems alive", "[shards]") {
    photo_broker b;
    REQUIRE(!b.admin.publish("photos", "long work").code);
    working_client half_open(b.broker);
    half_open.subscribe(1);
    half_open.read_answer(kind::Subscribed);
    while (b.progress().leased == 0) continue;
    half_open.start(0);
    REQUIRE(half_open.is_alive());

    // Nobody else takes it: not a stranger, and not one who guesses.
    working_client stranger(b.broker);
    CHECK(stranger.come_back_for(0) == 1);
    working_client guessing(b.broker, {half_open.proof.session, half_open.proof.key + 1});
    CHECK(guessing.come_back_for(0) == 1);
    working_client of_nobody(b.broker, {~std::uint64_t{0}, half_open.proof.key});
    CHECK(of_nobody.come_back_for(0) == 1);
    CHECK(half_open.is_alive());

    working_client returned(b.broker, half_open.proof);
    CHECK(returned.come_back_for(0) == 0);
    CHECK(half_open.read_goodbye() == errc::connection_lost);
    CHECK(returned.ack(0) == 0);
    CHECK(b.progress().acked == 1);
    CHECK(b.broker.process().errors().find("its client has come back") != std::string::npos);
}

TEST_CASE("who comes back and asks for what it had in one breath is given it, wherever its old session is", "[shards]") {
    photo_broker b;
    for (std::uint64_t at = 0; at < 6; ++at) {
        REQUIRE(!b.admin.publish("photos", "long work").code);
        working_client half_open(b.broker);
        half_open.subscribe(1);
        half_open.read_answer(kind::Subscribed);
        while (b.progress().leased == 0) continue;
        half_open.start(at);
        REQUIRE(half_open.is_alive());

        raw_client returned(b.broker);
        auto& builder = returned.builder;
        auto breath = raw_client::frame(builder, 0, wire::CreateHello(builder, 1, 1, 0, 0, 0, half_open.proof.session, half_open.proof.key));
        const std::vector<wire::LeaseRange> held{wire::LeaseRange(at, at, 0, 1)};
        const auto subscribe = raw_client::frame(builder, 1, wire::CreateSubscribeDirect(builder, 1, "photos", "thumbs", 0, 0, nullptr, &held));
        const auto ack = raw_client::frame(builder, 2, wire::CreateAckDirect(builder, 1, &held));
        breath.insert(breath.end(), subscribe.begin(), subscribe.end());
        breath.insert(breath.end(), ack.begin(), ack.end());
        returned.send(breath);
        CHECK(returned.read().value_or(heard_frame{}).kind == kind::Welcome);
        for (const auto answer : {kind::Subscribed, kind::Acked}) {
            const auto heard = returned.read();
            REQUIRE(heard);
            CHECK(heard->kind == answer);
            CHECK(heard->lost == 0);
        }
        CHECK(half_open.read_goodbye() == errc::connection_lost);
        CHECK(b.progress().acked == at + 1);
        working_client moves_on(b.broker);  // the next ones have another home
    }
}

TEST_CASE("a former session that reads nothing any more is ended at once too", "[shards]") {
    photo_broker b;
    for (int i = 0; i < 24; ++i) REQUIRE(!b.admin.publish("photos", std::string(1 << 20, 'x')).code);
    working_client jammed(b.broker);
    jammed.subscribe(1000);
    while (b.progress().leased < 24) continue;  // more than sockets hold: the broker waits to write
    working_client returned(b.broker, jammed.proof);
    CHECK(returned.come_back_for(0) == 0);
    CHECK(returned.ack(0) == 0);
    const auto p = b.progress();
    CHECK(p.acked == 1);
    CHECK(p.leased == 0);
    CHECK(p.ready == 23);
}

TEST_CASE("a session of the broker's former life has no effect", "[shards]") {
    scratch_directory scratch;
    std::vector<std::string> arguments{"--store", scratch.store(), "--listen", "127.0.0.1:0"};
    std::optional<broker_process> broker(std::in_place, arguments);
    const auto former = working_client(*broker).proof;
    broker->kill();
    broker.emplace(arguments);
    working_client bystander(*broker);
    REQUIRE(bystander.proof.session == former.session);  // sessions are counted from one
    working_client returned(*broker, former);
    CHECK(returned.is_alive());
    CHECK(bystander.is_alive());
}

}  // namespace millrace::process

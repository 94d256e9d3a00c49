#include "tests/check/household.hpp"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <future>

#include "broker/driver/open_shard.hpp"
#include "proto/entry.hpp"
#include "proto/record.hpp"
#include "tests/proto/records.hpp"

namespace millrace::check::testing {

using namespace core;

namespace {

constexpr shard_id only{0};
const origin admin{session_id{1}, request_id{1}};

}  // namespace

household::household(std::unique_ptr<storage::store> store) : store_(std::move(store)) {
    start();
    topic_changes two;
    two.partitions = 2;
    ask(input::create_topic{admin, "photos", two});
    topic_changes small;
    small.max_backlog = 1;  // no message fits
    ask(input::create_topic{admin, "dead", small});
    subscription_changes once;
    once.max_deliveries = 2;
    ask(input::create_subscription{admin, "photos", "thumbs", once, {}});
    ask(input::create_subscription{admin, "photos", "slow", {}, {}});
    subscription_changes dying;
    dying.dead_letter = "dead";
    ask(input::create_subscription{admin, "photos", "mail", dying, {}});
    const auto opened = std::get<answers::producer_opened>(ask(input::open_producer{admin, "camera", 7, false}));
    for (std::uint64_t i = 0; i < 10; ++i) publish({topic_id{1}, 0}, 3, "photo" + std::to_string(i), {opened.id, opened.epoch, i + 1, 0});
    publish({topic_id{1}, 1}, 2, "elsewhere");

    const consumer_id thumbs{1}, mail{2};
    ask(input::subscribe{admin, thumbs, "photos", "thumbs", "", 100, 1u << 20, {}});
    ask(input::subscribe{admin, mail, "photos", "mail", "", 100, 1u << 20, {}});
    ask(input::ack{admin, thumbs, {{0, {0}, {2}, 1}, {0, {6}, {8}, 1}, {0, {12}, {12}, 1}}});
    ask(input::nack{admin, thumbs, {{0, {13}, {13}, 1}}, "not now"});
    ask(input::reject{admin, thumbs, {{0, {14}, {14}, 1}}, "never"});
    ask(input::reject{admin, mail, {{0, {4}, {4}, 1}}, "no photo"});
    settle();
    driver_.reset();
}

void household::start() {
    auto opened = driver::open_shard(*store_, only, {});
    REQUIRE(opened);
    epoch_ = opened.value().epoch;
    driver_ = std::make_unique<driver::driver>(std::move(opened.value().shard), driver::driver_settings{});
}

any_answer household::ask(const any_input& in) {
    answers_.clear();
    driver_->submit(now_, in);
    settle();
    REQUIRE_FALSE(answers_.empty());
    return answers_.front().what;
}

void household::publish(partition_id where, std::uint32_t count, const std::string& payload, batch_claim claim) {
    const auto bytes = proto::numbered_records(count, payload);
    answers_.clear();
    driver_->publish(now_, {admin, where, count, durability::memory, bytes, claim});
    settle();
    REQUIRE(answers_.size() == 1);
    REQUIRE(std::holds_alternative<answers::published>(answers_.front().what));
}

void household::settle() {
    for (;;) {
        driver_->flush(now_);
        auto what = driver_->take_actions();
        if (what.empty()) return;
        REQUIRE_FALSE(what.fatal);
        for (auto& a : what.answers) answers_.push_back(std::move(a));
        for (auto& g : what.commits) {
            const auto number = g.number;
            commit(std::move(g.mutations));
            driver_->on_committed(now_, number, {});
        }
        for (const auto& r : what.reads) driver_->on_read(now_, r, store_->read(r.partition, r.from, r.bytes));
        for (const auto& s : what.scans) driver_->on_scanned(now_, s, store_->scan(s.range, s.limit));
    }
}

void household::commit(std::vector<mutation> mutations) {
    if (!driver_) epoch_ = store_->open(only).value();
    std::promise<error> done;
    store_->commit(only, epoch_, std::move(mutations), [&](error failed) { done.set_value(std::move(failed)); });
    const auto failed = done.get_future().get();
    INFO(failed.what);
    REQUIRE_FALSE(failed);
}

row household::row_at(const std::string& key) {
    const auto found = store_->scan({key, key + '\0'}, 1).value();
    REQUIRE(found.size() == 1);
    return found.front();
}

std::vector<std::string> household::broker_says() {
    const auto opened = driver::open_shard(*store_, only, {});
    if (!opened) return {millrace::to_string(opened.failure())};
    std::vector<std::string> all;
    for (const auto& why : opened.value().shard.quarantined()) all.push_back(millrace::to_string(why));
    return all;
}

answers::progress_info household::progress(const std::string& topic, const std::string& subscription) {
    start();
    const auto info = std::get<answers::subscription_info>(ask(input::describe_subscription{admin, topic, subscription}));
    driver_.reset();
    return info.partitions.at(0);
}

entry_bytes entry_of(sequence first, std::uint32_t count, const std::string& payload) {
    const auto content = proto::numbered_records(count, payload);
    std::vector<std::byte> bytes;
    proto::append_batch_header({static_cast<std::uint32_t>(content.size()), count, first, timestamp{}, 0, 0, 0, proto::batch_checksum(content)}, bytes);
    bytes.insert(bytes.end(), content.begin(), content.end());
    return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

}  // namespace millrace::check::testing

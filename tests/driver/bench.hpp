// A driver on a memory store, step by step.
#pragma once

#include <catch2/catch.hpp>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/driver/driver.hpp"
#include "broker/storage/memory_store.hpp"
#include "proto/record.hpp"
#include "tests/proto/records.hpp"

namespace millrace::driver {

using namespace core;

inline errc refusal(const actions& a) {
    REQUIRE(a.answers.size() == 1);
    const auto* refused = std::get_if<error>(&a.answers[0].what);
    return refused ? refused->code : errc::ok;
}

inline std::string payload_of(const record_run& run, std::uint32_t index = 0) {
    auto rest = run.records;
    for (; index > 0; --index) rest = rest.subspan(*proto::record_length(rest));
    message m;
    REQUIRE_FALSE(proto::decode_record(rest.first(*proto::record_length(rest)), m));
    return m.payload;
}

/// Caches that hold one entry at most, for each is larger: what is given after another one is read from the store.
inline constexpr driver_settings tiny{1, 1, 2};

/// A driver on a memory store; the test decides when what happens.
class bench {
public:
    explicit bench(const driver_settings& settings = {}, const shard_settings& core = {durability::memory}) : settings_(settings), core_(core) {
        start();
    }

    void start() {
        epoch_ = store_->open(shard_id{0}).value();
        driver_.emplace(shard::recover(core_, store_->scan(start_rows(), ~std::size_t{0}).value()).value(), settings_);
        pending_.clear();
        reads_.clear();
        scans_.clear();
    }

    /// A restart, and the time that returning clients have to claim what they held.
    void start_and_wait() {
        start();
        pass(std::chrono::seconds{0});
        pass(core_.adoption_wait);
    }

    actions pass(duration time) {
        now_ += time;
        driver_->on_time(now_);
        return take();
    }

    driver& operator*() { return *driver_; }
    driver* operator->() { return &*driver_; }

    /// What has gathered; commits and reads are taken over, to be performed when the test says.
    actions take() {
        auto what = driver_->take_actions();
        for (auto& g : what.commits) pending_.push_back(std::move(g));
        for (const auto& r : what.reads) reads_.push_back(r);
        for (const auto& s : what.scans) scans_.push_back(s);
        return what;
    }

    actions submit(const any_input& in) {
        driver_->submit(now_, in);
        return take();
    }

    actions flush() {
        driver_->flush(now_);
        return take();
    }

    /// Applies the oldest commit and reports it.
    actions commit_one() {
        const auto number = pending_.front().number;
        store_->commit(shard_id{0}, epoch_, std::move(pending_.front().mutations), [](error failed) { REQUIRE_FALSE(failed); });
        pending_.pop_front();
        driver_->on_committed(now_, number, {});
        return take();
    }

    actions read_one() {
        const auto request = reads_.front();
        reads_.pop_front();
        auto found = store_->read(request.partition, request.from, request.bytes);
        if (ends_early_) end_early(found.value(), request.bytes);
        for (auto& e : found.value())
            if (damaged_ == e.last) e = {e.last, nullptr, "block checksum mismatch in 12.blob"};
        driver_->on_read(now_, request, std::move(found));
        return take();
    }

    /// As an engine does that does not know how large an entry is before it has read it.
    static void end_early(std::vector<storage::stored_entry>& found, std::size_t bytes_max) {
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < found.size(); ++i) {
            bytes += found[i].bytes->size();
            if (bytes + found[i].bytes->size() > bytes_max) found.erase(found.begin() + static_cast<std::ptrdiff_t>(i) + 1, found.end());
        }
    }

    actions scan_one() {
        const auto request = scans_.front();
        scans_.pop_front();
        driver_->on_scanned(now_, request, store_->scan(request.range, request.limit));
        return take();
    }

    /// Everything that is under way, until nothing is; gathers what left.
    actions settle() {
        actions all;
        const auto add = [&](actions more) {
            std::move(more.answers.begin(), more.answers.end(), std::back_inserter(all.answers));
            std::move(more.pushes.begin(), more.pushes.end(), std::back_inserter(all.pushes));
            std::move(more.peeks.begin(), more.peeks.end(), std::back_inserter(all.peeks));
            std::move(more.closes.begin(), more.closes.end(), std::back_inserter(all.closes));
            std::move(more.alarms.begin(), more.alarms.end(), std::back_inserter(all.alarms));
            if (more.fatal) all.fatal = more.fatal;
        };
        add(take());
        for (int i = 0; i < 10'000; ++i) {
            add(flush());
            if (!pending_.empty()) add(commit_one());
            else if (!reads_.empty()) add(read_one());
            else if (!scans_.empty()) add(scan_one());
            else return all;
        }
        FAIL("reads or commits go on for ever");
        return all;
    }

    partition_id topic(const std::string& name) {
        submit(input::create_topic{{session_id{0}, request_id{1}}, name, {}});
        submit(input::create_subscription{{session_id{0}, request_id{2}}, name, "s", {}, {}});
        const auto done = settle();
        return {std::get<answers::topic_info>(done.answers.at(0).what).id, 0};
    }

    actions publish(partition_id where, std::uint32_t count, const std::string& payload = "m") { return publish_bytes(where, count, proto::numbered_records(count, payload)); }

    /// Each is settled before the next begins, so that it is an entry of its own.
    void publish_entries(partition_id where, int entries, std::uint32_t messages_each) {
        for (int i = 0; i < entries; ++i) {
            publish(where, messages_each);
            settle();
        }
    }

    actions publish_bytes(partition_id where, std::uint32_t count, const std::vector<std::byte>& bytes) {
        driver_->publish(now_, {{session_id{1}, request_id{++published_}}, where, count, durability::memory, bytes, {}});
        return take();
    }

    actions subscribe(std::uint64_t session, const std::string& topic, std::uint32_t messages) {
        return submit(input::subscribe{{session_id{session}, request_id{1}}, consumer_id{1}, topic, "s", "", messages, 100'000'000, {}});
    }

    actions ack(std::uint64_t session, std::uint64_t first, std::uint64_t last) {
        return submit(input::ack{{session_id{session}, request_id{9}}, consumer_id{1}, {{0, {first}, {last}, 1}}});
    }

    actions peek(const std::string& topic, std::uint64_t at, std::uint32_t messages = 100, std::uint32_t bytes = 1u << 20) {
        return submit(input::peek{{session_id{7}, request_id{1}}, topic, 0, {at}, messages, bytes});
    }

    std::deque<group> pending_;
    std::deque<read_request> reads_;
    std::deque<scan_request> scans_;
    std::optional<sequence> damaged_;  // the entry that ends there cannot be read
    bool ends_early_ = false;          // a read stops where one more entry like the last would be too much
    fencing_epoch epoch_{};
    std::unique_ptr<storage::store> store_ = storage::make_memory_store();
    timestamp now_{std::chrono::seconds{1}};

private:
    driver_settings settings_;
    shard_settings core_;
    std::optional<driver> driver_;
    std::uint64_t published_ = 0;
};

}  // namespace millrace::driver

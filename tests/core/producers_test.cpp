// Named producers: a batch sent twice is stored once, and what is remembered survives as rows.
#include <catch2/catch.hpp>

#include "broker/core/producers.hpp"

using namespace millrace;
using namespace millrace::core;

namespace {

const timestamp now{std::chrono::hours{24 * 365}};
const partition_id photos{topic_id{1}, 0};
const partition_id mail{topic_id{2}, 3};

/// What a restart finds: the rows that the changes so far leave behind.
struct row_store {
    std::map<std::string, std::string> rows;

    void apply(producers& from) {
        std::vector<mutation> changes;
        from.take_changes(changes);
        for (const auto& m : changes) {
            if (const auto* put = std::get_if<put_row>(&m)) rows[put->key] = put->value;
            if (const auto* gone = std::get_if<erase_row>(&m)) rows.erase(gone->key);
        }
    }
    producers restart() const {
        producers found;
        for (const auto& [key, value] : rows) REQUIRE_FALSE(found.recover({key, value}));
        return found;
    }
};

struct fixture {
    producers all;
    std::uint64_t next_id = 1;
    row_store store;

    producers::opened open(const std::string& name = "web", std::uint64_t incarnation = 0) { return all.open(name, incarnation, now, next_id); }
    batch_claim claim(const producers::opened& by, std::uint64_t number, std::uint32_t checksum = 7) { return {by.id, by.epoch, number, checksum}; }
    void publish(const producers::opened& by, std::uint64_t number, sequence first, partition_id where = photos) {
        const auto c = claim(by, number);
        const auto judged = all.judge(c, where);
        REQUIRE_FALSE(judged.refused);
        REQUIRE_FALSE(judged.seen);
        all.taken(c, where, first, now);
    }
};

}  // namespace

TEST_CASE_METHOD(fixture, "a batch sent again gets the answer it had") {
    const auto web = open();
    publish(web, 1, {0});
    publish(web, 2, {10});
    CHECK(all.judge(claim(web, 1), photos).seen == sequence{0});
    CHECK(all.judge(claim(web, 2), photos).seen == sequence{10});
}

TEST_CASE_METHOD(fixture, "a number used for other messages is refused") {
    const auto web = open();
    publish(web, 1, {0});
    const auto judged = all.judge(claim(web, 1, 8), photos);
    CHECK(judged.refused.code == errc::batch_mismatch);
}

TEST_CASE_METHOD(fixture, "a gap is refused, so that a refused batch refuses what follows it") {
    const auto web = open();
    CHECK(all.judge(claim(web, 2), photos).refused.code == errc::batch_gap);
    publish(web, 1, {0});
    CHECK(all.judge(claim(web, 3), photos).refused.code == errc::batch_gap);
    CHECK(all.judge(claim(web, 1), mail).seen == std::nullopt);  // each partition counts for itself
}

TEST_CASE_METHOD(fixture, "only the last five batches are remembered") {
    const auto web = open();
    for (std::uint64_t n = 1; n <= 6; ++n) publish(web, n, {n * 10});
    CHECK(all.judge(claim(web, 1), photos).refused.code == errc::batch_gap);
    CHECK(all.judge(claim(web, 2), photos).seen == sequence{20});
}

TEST_CASE_METHOD(fixture, "a later incarnation fences the earlier one and learns where it was") {
    const auto first = open();
    publish(first, 1, {0});
    publish(first, 1, {5}, mail);
    const auto second = open();
    CHECK(second.id == first.id);
    CHECK(second.epoch == first.epoch + 1);
    CHECK(second.positions == std::vector<producer_position>{{photos, 1}, {mail, 1}});
    CHECK(all.judge(claim(first, 2), photos).refused.code == errc::producer_fenced);
    CHECK(all.judge(claim(second, 1), photos).seen == sequence{0});
    publish(second, 2, {1});
}

TEST_CASE_METHOD(fixture, "who comes back is let in unless another incarnation came meanwhile, also after a restart") {
    CHECK_FALSE(all.judge_return("web", 11));  // never opened, or forgotten: there is nobody to fence
    open("web", 11);
    for (const bool restarted : {false, true}) {
        store.apply(all);
        if (restarted) all = store.restart();
        CHECK_FALSE(all.judge_return("web", 11));
        const auto refused = all.judge_return("web", 12);
        CHECK(refused.code == errc::producer_fenced);
        CHECK(refused.what.find("'web'") != std::string::npos);
    }
    open("web", 12);
    CHECK(all.judge_return("web", 11).code == errc::producer_fenced);
    CHECK_FALSE(all.judge_return("web", 12));
}

TEST_CASE_METHOD(fixture, "a producer's row of the first release has no incarnation and is read") {
    open("web", 11);
    store.apply(all);
    for (const auto& [key, value] : store.rows) {
        producers found;
        CHECK_FALSE(found.recover({key, value.substr(0, value.size() - sizeof(std::uint64_t))}));
        CHECK(found.judge_return("web", 11).code == errc::producer_fenced);
        CHECK_FALSE(found.judge_return("web", 0));
    }
}

TEST_CASE_METHOD(fixture, "an unknown producer is named") {
    CHECK(all.judge({producer_id{9}, 1, 1, 0}, photos).refused.code == errc::no_such_producer);
}

TEST_CASE_METHOD(fixture, "rows bring everything back") {
    const auto web = open();
    const auto mailer = open("mailer");
    publish(web, 1, {0});
    publish(web, 2, {3});
    publish(mailer, 1, {7}, mail);
    CHECK(all.has_changes());
    store.apply(all);
    CHECK_FALSE(all.has_changes());
    all = store.restart();
    CHECK(all.judge(claim(web, 2), photos).seen == sequence{3});
    CHECK(all.judge(claim(mailer, 1), mail).seen == sequence{7});
    CHECK(open().epoch == web.epoch + 1);
}

TEST_CASE_METHOD(fixture, "a deleted topic and a week of silence are forgotten, rows too") {
    const auto web = open();
    publish(web, 1, {0});
    publish(web, 1, {0}, mail);
    store.apply(all);
    all.forget_topic(photos.topic);
    store.apply(all);
    CHECK(store.rows.size() == 2);
    CHECK(store.restart().judge(claim(web, 2), mail).refused == error{});
    CHECK(all.idle(now + producers::idle_max).empty());
    const auto late = now + producers::idle_max + std::chrono::seconds{1};
    REQUIRE(all.idle(late) == std::vector{web.id});
    CHECK(all.forget(web.id, now).code == errc::in_use);
    CHECK_FALSE(all.has_changes());
    CHECK(all.forget(web.id, late) == error{});
    store.apply(all);
    CHECK(store.rows.empty());
}

TEST_CASE_METHOD(fixture, "a damaged row is named, never believed") {
    const auto web = open();
    publish(web, 1, {0});
    store.apply(all);
    for (const auto& [key, value] : store.rows) {
        producers found;
        const auto cut = found.recover({key, value.substr(0, value.size() - 1)});
        CHECK(cut.code == errc::corruption);
    }
}

TEST_CASE_METHOD(fixture, "a row of more batches than are remembered is damaged") {
    constexpr auto batch_bytes = sizeof(std::uint64_t) + sizeof(std::uint64_t) + sizeof(std::uint32_t);
    const auto web = open();
    for (std::uint64_t n = 1; n <= producers::remembered_batches; ++n) publish(web, n, {n * 10});
    store.apply(all);
    store.restart();
    auto& value = store.rows.rbegin()->second;
    value += value.substr(value.size() - batch_bytes);
    producers found;
    CHECK_FALSE(found.recover({store.rows.begin()->first, store.rows.begin()->second}));
    CHECK(found.recover({store.rows.rbegin()->first, value}).code == errc::corruption);
}

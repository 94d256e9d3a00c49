// The bytes of every row, as they were first written: a change that breaks these breaks every store there is.
#include "broker/core/row.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

namespace millrace::core {
namespace {

std::string hex(const std::string& bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) {
        out += digits[static_cast<std::uint8_t>(c) >> 4];
        out += digits[static_cast<std::uint8_t>(c) & 15];
    }
    return out;
}

timestamp at(std::int64_t microseconds) { return timestamp{std::chrono::microseconds{microseconds}}; }

const meta_row meta{3, 5, 7, 2};
const topic_row topic{topic_id{2}, "photos", at(0x0102030405), {3, duration{1000}, 500, duration{60'000}, 1u << 20, limit_policy::expire}};
const subscription_row subscription{subscription_id{4}, topic_id{2}, "resize", at(6), {duration{30'000}, 7, duration{2000}, duration{60'000}, "dead"}};
const failure_row failed{subscription_id{4}, 1, {12}, 3, at(9), true, "too big"};
const hand_over_row leaving{subscription_id{4}, 1, {13}, 2, "torn"};
const arrival_row arrived{{subscription_id{4}, 1, {13}}, {topic_id{7}, 2}};
const log_row log{{topic_id{2}, 1}, {90}, {10}, {20}, 8000, 1000};
const progress_row progress{subscription_id{4}, 1, {10}, {50}, {30, 1, 2, 3, 4}};
const settled_set::block_row run{5, 9, std::nullopt};

settled_set::block_row bitmap() {
    settled_set::block_row b{7, 7, settled_set::bitmap{}};
    (*b.bits)[0] = 0x8000000000000001;
    (*b.bits)[63] = 2;
    return b;
}

TEST_CASE("golden rows") {
    CHECK(hex(encode(meta).key) == "4d");
    CHECK(hex(encode(meta).value) == "01030000000500000007000000000000000200000000000000");
    CHECK(hex(encode(topic).key) == "5400000002");
    CHECK(hex(encode(topic).value) == "01060070686f746f730504030201000000" "03000000" "e803000000000000" "f401000000000000" "60ea000000000000" "0000100000000000" "01");
    CHECK(hex(encode(subscription).key) == "5300000004");
    CHECK(hex(encode(subscription).value) == "01020000000600726573697a6506000000000000003075000000000000" "07000000" "d007000000000000" "60ea000000000000" "040064656164");
    CHECK(hex(encode(failed).key) == "4600000004" "00000001" "000000000000000c");
    CHECK(hex(encode(failed).value) == "0103000000" "0900000000000000" "01" "0700746f6f20626967");
    CHECK(hex(encode(leaving).key) == "4800000004" "00000001" "000000000000000d");
    CHECK(hex(encode(leaving).value) == "0102000000" "0400746f726e");
    CHECK(hex(encode(arrived).key) == "4900000004" "00000001" "000000000000000d");
    CHECK(hex(encode(arrived).value) == "0107000000" "02000000");
    CHECK(hex(encode(log).key) == "500000000200000001");
    CHECK(hex(encode(log).value) == "015a000000000000000a000000000000001400000000000000401f000000000000e803000000000000");
    CHECK(hex(encode(progress).key) == "470000000400000001");
    CHECK(hex(encode(progress).value) ==
          "010a0000000000000032000000000000001e000000000000000100000000000000020000000000000003000000000000000400000000000000");
    CHECK(hex(encode(subscription_id{4}, 1, run).key) == "4200000004000000010000000000000009");
    CHECK(hex(encode(subscription_id{4}, 1, run).value) == "01020500000000000000");
    CHECK(hex(encode(subscription_id{4}, 1, bitmap()).value) == "0101" "0100000000000080" + std::string(62 * 16, '0') + "0200000000000000");
}

/// Decodes what it encoded; every shorter value or key, every longer one, and another version are corruption that names the key.
template <class Row>
void holds(const row& r, const Row& expected) {
    Row out;
    REQUIRE_FALSE(decode(r, out));
    CHECK(out == expected);
    std::vector<row> damaged{{r.key, r.value + '\0'}, {r.key, "\x02" + r.value.substr(1)}};
    for (std::size_t length = 0; length < r.value.size(); ++length) damaged.push_back({r.key, r.value.substr(0, length)});
    if (r.key.size() > 1) {
        damaged.push_back({r.key + '\0', r.value});
        for (std::size_t length = 1; length < r.key.size(); ++length) damaged.push_back({r.key.substr(0, length), r.value});
    }
    for (const auto& d : damaged) {
        const auto refused = decode(d, out);
        CHECK(refused.code == errc::corruption);
        CHECK(refused.what.find(hex(d.key)) != std::string::npos);
    }
}

TEST_CASE("rows come back, and damaged ones are refused") {
    holds(encode(meta), meta);
    holds(encode(topic), topic);
    holds(encode(subscription), subscription);
    holds(encode(failed), failed);
    holds(encode(leaving), leaving);
    holds(encode(arrived), arrived);
    holds(encode(log), log);
    holds(encode(progress), progress);
    holds(encode(subscription_id{4}, 1, run), run);
    holds(encode(subscription_id{4}, 1, bitmap()), bitmap());
}

TEST_CASE("rows that cannot be are refused") {
    topic_row t = topic;
    t.settings.partitions = 0;
    CHECK(decode(encode(t), t).code == errc::corruption);
    log_row l = log;
    l.start = {91};
    CHECK(decode(encode(l), l).code == errc::corruption);
    l = log;
    l.kept_bytes = l.bytes + 1;
    CHECK(decode(encode(l), l).code == errc::corruption);
    progress_row p = progress;
    p.cursor = {9};
    CHECK(decode(encode(p), p).code == errc::corruption);
    settled_set::block_row b{10, 9, std::nullopt};
    CHECK(decode(encode(subscription_id{4}, 1, b), b).code == errc::corruption);
}

TEST_CASE("a subscription's row names it, however little else is left of its key") {
    const auto blocks = block_key(subscription_id{4}, 1, 9);
    for (const auto& key : {encode(progress).key, encode(failed).key, encode(leaving).key, encode(arrived).key, blocks}) {
        CHECK(subscription_of(key) == subscription_id{4});
        CHECK(subscription_of(key.substr(0, 5)) == subscription_id{4});
        CHECK_FALSE(subscription_of(key.substr(0, 4)));
    }
    CHECK_FALSE(subscription_of(encode(log).key));
    CHECK_FALSE(subscription_of(""));
}

bool inside(const row_range& range, const std::string& key) { return range.begin <= key && key < range.end; }

TEST_CASE("keys sort as ranges need them") {
    const auto key = [](std::uint32_t s, std::uint32_t p, std::uint64_t b) { return block_key(subscription_id{s}, p, b); };
    CHECK(key(1, 0, 255) < key(1, 0, 256));
    CHECK(key(1, 0, ~std::uint64_t{0}) < key(1, 1, 0));
    CHECK(key(255, 9, 9) < key(256, 0, 0));

    CHECK(inside(block_rows(subscription_id{1}, 0, 5), key(1, 0, 5)));
    CHECK(inside(block_rows(subscription_id{1}, 0, 5), key(1, 0, ~std::uint64_t{0})));
    CHECK_FALSE(inside(block_rows(subscription_id{1}, 0, 5), key(1, 0, 4)));
    CHECK_FALSE(inside(block_rows(subscription_id{1}, 0, 5), key(1, 1, 9)));
    CHECK(inside(block_rows(subscription_id{255}), key(255, 7, 9)));
    CHECK_FALSE(inside(block_rows(subscription_id{255}), key(256, 0, 0)));
    CHECK(inside(block_rows(subscription_id{0xffffffff}), key(0xffffffff, 0xffffffff, ~std::uint64_t{0})));
    CHECK(inside(log_rows(topic_id{2}), encode(log).key));
    CHECK_FALSE(inside(log_rows(topic_id{3}), encode(log).key));
    CHECK(inside(progress_rows(subscription_id{4}), encode(progress).key));

    CHECK(inside(failure_rows(subscription_id{4}), encode(failed).key));
    CHECK_FALSE(inside(failure_rows(subscription_id{3}), encode(failed).key));
    CHECK(inside(hand_over_rows(subscription_id{4}), encode(leaving).key));
    CHECK(inside(arrival_rows(subscription_id{4}), encode(arrived).key));
    for (const auto& r : {encode(failed), encode(leaving), encode(arrived), encode(meta), encode(topic), encode(subscription), encode(log), encode(progress)}) CHECK(inside(start_rows(), r.key));
    CHECK_FALSE(inside(start_rows(), key(1, 0, 0)));
}

}  // namespace
}  // namespace millrace::core

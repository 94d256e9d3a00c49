#include <catch2/catch.hpp>

#include "damage.hpp"

namespace millrace::proto {
namespace {

using samples::byte_string;

constexpr sequence last{102};

error parsed(std::span<const std::byte> bytes, sequence end = last) {
    entry_layout layout;
    return parse_entry(bytes, end, layout);
}

struct batch {
    batch_header header;
    byte_string records;
};

// The sample's batches, to be put together otherwise.
std::vector<batch> parts() {
    const auto bytes = samples::entry();
    std::vector<batch> all;
    std::size_t at = 0;
    for (const auto& header : samples::batches()) {
        at += batch_header_bytes;
        all.push_back({header, {bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin() + static_cast<std::ptrdiff_t>(at + header.records_bytes)}});
        at += header.records_bytes;
    }
    return all;
}

byte_string joined(const std::vector<batch>& batches) {
    byte_string out;
    for (const auto& b : batches) {
        append_batch_header(b.header, out);
        out.insert(out.end(), b.records.begin(), b.records.end());
    }
    return out;
}

}  // namespace

TEST_CASE("an entry says which batches it holds and where each record ends") {
    entry_layout layout;
    const auto bytes = samples::entry();
    REQUIRE_FALSE(parse_entry(bytes, last, layout));
    CHECK(layout.batches == samples::batches());
    CHECK(layout.first() == sequence{100});
    CHECK(layout.last() == last);
    CHECK(layout.ends.back() + layout.batches.size() * batch_header_bytes == bytes.size());
    for (std::size_t i = 1; i < layout.ends.size(); ++i) CHECK(layout.ends[i] > layout.ends[i - 1]);
    REQUIRE_FALSE(parse_entry(bytes, last, layout));  // into a layout that was used before
    CHECK(layout.ends.size() == 3);
}

TEST_CASE("times before 1970 and the largest numbers survive a batch header") {
    const batch_header header{1u << 31, 0xffffffff, {UINT64_MAX}, timestamp{std::chrono::microseconds{-5}}, UINT64_MAX, UINT64_MAX, 0xffffffff, 0xffffffff};
    byte_string bytes;
    append_batch_header(header, bytes);
    REQUIRE(bytes.size() == batch_header_bytes);
    batch_header out;
    REQUIRE_FALSE(parse_batch_header(bytes, out));
    CHECK(out == header);
}

TEST_CASE("an entry that was cut anywhere is damaged") {
    const auto bytes = samples::entry();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        INFO(size);
        CHECK(parsed(std::span(bytes).first(size)).code == errc::corruption);
    }
}

TEST_CASE("every flipped bit of a batch header is noticed") {
    const auto bytes = samples::entry();
    for (std::size_t bit = 0; bit < batch_header_bytes * 8; ++bit) {
        auto damaged = bytes;
        damage::flip_bit(damaged, bit);
        CHECK(parsed(damaged).code == errc::corruption);
    }
}

TEST_CASE("an entry whose parts do not fit each other is damaged") {
    auto all = parts();
    REQUIRE_FALSE(parsed(joined(all)));
    const auto damaged = [&](const char* words) {
        const auto refused = parsed(joined(all));
        INFO(to_string(refused));
        CHECK(refused.code == errc::corruption);
        CHECK(refused.what.find(words) != std::string::npos);
        all = parts();
    };
    all[1].header.first = {102};
    damaged("stands where sequence 101 should");
    all[1].header.first = {100};
    damaged("stands where sequence 101 should");
    all[1].header.count = 1;
    damaged("its 1 records end at byte");
    all[1].header.count = 3;
    damaged("record 2 has no valid length");
    all[0].header.count = 0;
    damaged("holds no records");
    all[0].header.records_bytes += 8;
    damaged("says it holds");
    all[1].header.records_bytes += 8;
    damaged("are there");
    all[1].records[0] ^= std::byte{1};
    damaged("record 0 has no valid length");
    all.pop_back();
    damaged("its batches end in 100");
}

TEST_CASE("sequences do not wrap around") {
    auto all = parts();
    all.erase(all.begin());
    all[0].header.first = {UINT64_MAX};
    CHECK(parsed(joined(all), sequence{0}).what.find("past the last sequence") != std::string::npos);
    all[0].header.first = {UINT64_MAX - 1};
    CHECK_FALSE(parsed(joined(all), sequence{UINT64_MAX}));
}

TEST_CASE("an entry under another key is damaged") {
    CHECK(parsed(samples::entry(), sequence{101}).what.find("key says it ends in sequence 101") != std::string::npos);
    CHECK(parsed(samples::entry(), sequence{103}).code == errc::corruption);
}

TEST_CASE("random damage of an entry is never more than damage") {
    std::mt19937 random(7);
    for (int round = 0; round < 5'000; ++round) {
        auto bytes = samples::entry();
        damage::mutate(bytes, 0, random);
        entry_layout layout;
        if (!parse_entry(bytes, last, layout)) REQUIRE(layout.last() == last);
    }
}

}  // namespace millrace::proto

// Stores that are damaged on purpose: what is found, what is derived again, and that a broker starts on what is left.
#include "broker/check/check.hpp"

#include <catch2/catch.hpp>
#include <fstream>

#include "broker/core/row_codec.hpp"
#include "broker/storage/memory_store.hpp"
#include "broker/storage/rocksdb_store.hpp"
#include "tests/check/household.hpp"

namespace millrace::check::testing {
namespace {

using namespace core;
using Catch::Matchers::Contains;

constexpr subscription_id thumbs{1}, slow{2}, mail{3};
constexpr partition_id photos{topic_id{1}, 0};

std::string progress_key(subscription_id s) { return encode(progress_row{s, 0, {}, {}, {}}).key; }
std::string failure_key(subscription_id s, std::uint64_t at) { return encode(failure_row{s, 0, {at}, 0, {}, false, {}}).key; }
std::string hand_over_key(subscription_id s, std::uint64_t at) { return encode(hand_over_row{s, 0, {at}, 0, {}}).key; }

template <class Row, class Change>
void edit(household& h, const std::string& key, Change change) {
    Row r;
    REQUIRE_FALSE(decode(h.row_at(key), r));
    change(r);
    h.put(encode(r));
}

struct damage {
    const char* name;
    void (*doing)(household&);
    std::string found;       // in one finding
    bool quarantines = true;  // or refuses to start; false: a broker would not notice, or only later
};

void cut(household& h, const std::string& key) {
    auto r = h.row_at(key);
    r.value.pop_back();
    h.put(r);
}

const damage damages[] = {
    {"counts too few", [](household& h) { edit<progress_row>(h, progress_key(thumbs), [](auto& p) { p.counts.acked = 1; }); },
     "topic 'photos', partition 0, subscription 'thumbs': it counts acked 1", true},
    {"counts too many", [](household& h) { edit<progress_row>(h, progress_key(slow), [](auto& p) { p.counts.acked = 100; }); }, "it counts acked 100", true},
    {"counts what is not settled", [](household& h) { edit<progress_row>(h, progress_key(slow), [](auto& p) { p.counts.dead = 2; }); }, "it counts acked 0, dead 2", false},
    {"the cursor is beyond the end", [](household& h) { edit<progress_row>(h, progress_key(slow), [](auto& p) { p.cursor = {31}, p.counts.acked = 31; }); },
     "its cursor stands at 31 of 30", true},
    {"progress cannot be read", [](household& h) { cut(h, progress_key(thumbs)); }, "subscription 'thumbs': the row under key 47", true},
    {"progress is missing", [](household& h) { h.erase(progress_key(mail)); }, "subscription 'mail': it has no progress here", true},
    {"progress in no partition", [](household& h) { h.put(encode(progress_row{thumbs, 7, {}, {}, {}})); }, "a row of a partition that there is not", true},
    {"settled blocks cannot be read", [](household& h) { cut(h, block_key(thumbs, 0, 0)); }, "is not a row of its kind", false},
    {"settled blocks are missing", [](household& h) { h.erase(block_key(thumbs, 0, 0)); }, "3 messages are settled, 0 of them parked", false},
    {"settled beyond the end", [](household& h) { h.put(encode(slow, 0, settled_set::block_row{0, 3, std::nullopt})); }, "message 16383 is settled, and 30 is the next", false},
    {"failed and settled", [](household& h) { h.put(encode(failure_row{thumbs, 0, {7}, 1, {}, false, {}})); }, "message 7: it is to come again, and it is settled", false},
    {"failed before the cursor", [](household& h) { h.put(encode(failure_row{thumbs, 0, {1}, 1, {}, false, {}})); }, "message 1: it is to come again", true},
    {"failed beyond the end", [](household& h) { h.put(encode(failure_row{slow, 0, {99}, 1, {}, false, {}})); }, "message 99: it has failed, and there is no such", true},
    {"parked and not settled", [](household& h) { h.put(encode(failure_row{slow, 0, {5}, 1, {}, true, {}})); }, "message 5: it is parked, and not settled", true},
    {"a failure cannot be read", [](household& h) { cut(h, failure_key(thumbs, 13)); }, "how often a message had failed is forgotten", true},
    {"on its way and not settled", [](household& h) { h.put(encode(hand_over_row{slow, 0, {5}, 1, {}})); }, "message 5: it is on its way to another topic, and it is not settled", false},
    {"a hand-over cannot be read", [](household& h) { cut(h, hand_over_key(mail, 4)); }, "does not reach its dead-letter topic", true},
    {"on its way and gone", [](household& h) { h.commit({free_entry{photos, {5}}}); }, "message 4: it is on its way to another topic, and the store does not have it", false},
    {"a subscription cannot be read", [](household& h) { cut(h, subscription_key(slow)); }, "it is dropped with its progress", true},
    {"a subscription of no topic", [](household& h) { edit<subscription_row>(h, subscription_key(slow), [](auto& s) { s.topic = topic_id{9}; }); }, "its topic 9 does not exist", true},
    {"rows of no subscription", [](household& h) { h.put(encode(progress_row{subscription_id{8}, 0, {}, {}, {}})); }, "of subscription 8, which is in no catalog", true},
    {"a topic cannot be read", [](household& h) { cut(h, topic_key(topic_id{1})); }, "topic 'recovered-1'", true},
    {"a topic is missing", [](household& h) { h.erase(topic_key(topic_id{1})); }, "partitions of topic 1, which is in no catalog", true},
    {"a log cannot be read", [](household& h) { cut(h, log_key(photos)); }, "the row is made anew from the entries", true},
    {"a log is missing", [](household& h) { h.erase(log_key(photos)); }, "the log of the partition has no row", true},
    {"messages beyond the log's end", [](household& h) { edit<log_row>(h, log_key(photos), [](auto& l) { l.next = {27}; }); }, "there are messages up to 29, and the next to come is 27", false},
    {"bytes do not add up", [](household& h) { edit<log_row>(h, log_key(photos), [](auto& l) { l.bytes += 5; }); }, "topic 'photos', partition 0: it counts", false},
    {"an entry in front of the start", [](household& h) { edit<log_row>(h, log_key(photos), [](auto& l) { l.start = l.kept_to = {3}, l.bytes = 0; }); }, "messages 0 to 2: an entry in front of", false},
    {"the catalog counts too low", [](household& h) { edit<meta_row>(h, "M", [](auto& m) { m.next_topic = 2; }); }, "would give ids a second time", false},
    {"the catalog's counter cannot be read", [](household& h) { cut(h, "M"); }, "ids go on behind the largest in use", true},
    {"a row of no table", [](household& h) { h.put({"Xyz", "?"}); }, "a row of an unknown table 'X'", true},
    {"a producer cannot be read", [](household& h) { cut(h, key_writer('N').u64(1).take()); }, "a batch that is sent again may be stored twice", true},
    {"a producer beyond the end", [](household& h) {
         h.put({key_writer('Q').u64(1).u32(1).u32(0).take(), value_writer().time({}).number(std::uint64_t{11}).number(std::uint64_t{30}).number(std::uint32_t{0}).take()});
     }, "a named producer's batch begins at 30", false},
    {"a damaged entry", [](household& h) {
         auto bytes = *entry_of({30}, 2, "new");
         bytes[bytes.size() - 9] ^= std::byte{1};
         h.commit({append_entry{photos, {30}, {31}, std::make_shared<const std::vector<std::byte>>(bytes), nullptr}});
         edit<log_row>(h, log_key(photos), [](auto& l) { l.next = {32}; });
     }, "messages 30 to 31: an entry is damaged", false},
};

std::string all_of(const report& r) {
    std::string out;
    for (const auto& f : r.findings) out += to_string(f) + "\n";
    return out;
}

}  // namespace

TEST_CASE("what a broker has written is sound") {
    household h(storage::make_memory_store());
    const auto found = examine(h.store(), GENERATE(false, true));
    REQUIRE(found);
    INFO(all_of(found.value()));
    CHECK(found.value().findings.empty());
    CHECK(found.value().notes.empty());
    CHECK(found.value().topics == 2);
    CHECK(found.value().subscriptions == 3);
    CHECK(found.value().messages == 32);
    CHECK(found.value().entries == 11);
    CHECK(h.broker_says().empty());
}

TEST_CASE("every damage is found and named, and what can be derived is derived again") {
    for (const auto& d : damages) {
        DYNAMIC_SECTION(d.name) {
            household h(storage::make_memory_store());
            d.doing(h);
            CHECK(h.broker_says().empty() != d.quarantines);

            const auto found = examine(h.store(), false).value();
            INFO(all_of(found));
            CHECK_FALSE(found.sound());
            CHECK_THAT(all_of(found), Contains(d.found));
            CHECK(examine(h.store(), false).value().findings == found.findings);  // looking changes nothing

            const auto repaired = examine(h.store(), true).value();
            INFO(all_of(repaired));
            CHECK(repaired.sound());
            CHECK_THAT(all_of(repaired), Contains(d.found) && Contains("(repaired: "));
            const auto again = examine(h.store(), false).value();
            INFO(all_of(again));
            CHECK(again.findings.empty());
            CHECK(h.broker_says().empty());
        }
    }
}

TEST_CASE("counting again loses no settled message") {
    household h(storage::make_memory_store());
    const auto before = h.progress("photos", "thumbs");
    REQUIRE(before.settled == settled_counts{7, 0, 1, 0, 0});
    edit<progress_row>(h, progress_key(thumbs), [](auto& p) { p.counts = {1, 0, 0, 0, 0}; });
    REQUIRE(examine(h.store(), true).value().sound());
    const auto after = h.progress("photos", "thumbs");
    CHECK(after.cursor == before.cursor);
    CHECK(after.settled == settled_counts{1, 0, 1, 0, 6});  // how they were settled is not known any more
    CHECK(after.ready + after.delayed + after.leased + after.settled.total() == 30);
}

TEST_CASE("an entry that is gone is no contradiction, and is told") {
    household h(storage::make_memory_store());
    h.commit({free_entry{photos, {29}}});
    edit<log_row>(h, log_key(photos), [&](auto& l) { l.bytes = examine(h.store(), false).value().bytes; });
    const auto found = examine(h.store(), true).value();
    INFO(all_of(found));
    CHECK(found.sound());
    REQUIRE(found.notes.size() == 3);
    CHECK_THAT(found.notes[0], Contains("3 unsettled messages are not in the store any more"));
}

namespace {

void make_in(const std::filesystem::path& directory) {
    storage::rocksdb_options options;
    options.directory = directory;
    auto made = storage::open_rocksdb_store(options);
    household h(std::move(made.value()));
}

void flip(const std::filesystem::path& file, std::streamoff at) {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(at);
    const auto old = bytes.get();
    bytes.seekp(at);
    bytes.put(static_cast<char>(old ^ 1));
    REQUIRE(bytes.good());
}

}  // namespace

TEST_CASE("a directory: sound, in use, no store, nothing there") {
    const scratch_directory scratch;
    const auto store = scratch.path() / "store";
    const auto refusal = [](const std::filesystem::path& directory) {
        const auto found = check_directory({directory});
        REQUIRE_FALSE(found);
        return found.failure();
    };
    CHECK(refusal(store).code == errc::storage_failure);
    CHECK_THAT(refusal(store).what, Contains("there is no Millrace store in " + store.string()));
    CHECK_FALSE(std::filesystem::exists(store));
    CHECK_THAT(refusal(scratch.path()).what, Contains("there is no Millrace store"));
    CHECK(std::filesystem::is_empty(scratch.path()));

    make_in(store);
    const auto found = check_directory({store});
    REQUIRE(found);
    INFO(all_of(found.value()));
    CHECK(found.value().findings.empty());
    CHECK(found.value().messages == 32);

    storage::rocksdb_options options;
    options.directory = store;
    const auto open = storage::open_rocksdb_store(options);
    CHECK(refusal(store).code == errc::store_in_use);
}

TEST_CASE("a flipped bit in a blob file, or in a table and its copy, is found with its file") {
    const scratch_directory scratch;
    const auto directory = scratch.path() / "store";
    make_in(directory);
    storage::rocksdb_options options;
    options.directory = directory;
    { REQUIRE(storage::open_rocksdb_store(options)); }  // recovery moves the log into files
    SECTION("blob or table of entries") {
        std::filesystem::path damaged;
        for (const auto& file : std::filesystem::directory_iterator(directory)) {  // small entries stand in the table itself
            std::ifstream in(file.path(), std::ios::binary);
            const std::string bytes{std::istreambuf_iterator<char>(in), {}};
            const auto ending = file.path().extension();
            const auto at = ending == ".sst" || ending == ".copy" || ending == ".blob" ? bytes.find("photo3") : std::string::npos;
            if (at == std::string::npos) continue;
            if (ending != ".copy") damaged = file.path();
            flip(file.path(), static_cast<std::streamoff>(at));
        }
        REQUIRE_FALSE(damaged.empty());
        const auto found = check_directory({directory});
        REQUIRE(found);
        INFO(all_of(found.value()));
        CHECK_FALSE(found.value().sound());
        CHECK_THAT(all_of(found.value()), Contains("an entry is damaged: Corruption") && Contains(damaged.filename().string()));
    }
    SECTION("table of rows") {
        std::filesystem::path damaged;
        for (const auto& file : std::filesystem::directory_iterator(directory)) {
            std::ifstream in(file.path(), std::ios::binary);
            const std::string bytes{std::istreambuf_iterator<char>(in), {}};
            const auto ending = file.path().extension();
            const auto at = ending == ".sst" || ending == ".copy" ? bytes.find("thumbs") : std::string::npos;
            if (at == std::string::npos) continue;
            if (ending == ".sst") damaged = file.path();
            flip(file.path(), static_cast<std::streamoff>(at));
        }
        REQUIRE_FALSE(damaged.empty());
        const auto found = check_directory({directory});
        REQUIRE_FALSE(found);
        CHECK(found.failure().code == errc::corruption);
        CHECK_THAT(found.failure().what, Contains(damaged.filename().string()) && Contains("restore a backup"));
    }
}

}  // namespace millrace::check::testing

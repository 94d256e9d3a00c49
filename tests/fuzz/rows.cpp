// A row as the store gives it back, of whatever table its key says. The first byte is the length of the key.
#include "broker/core/producers.hpp"
#include "broker/core/row.hpp"
#include "broker/storage/rocksdb_keys.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

/// What can be read is written as a row that reads the same; and as the same bytes, but for a flag that may be any number.
template <class Row>
void read_and_write(const core::row& found, bool is_exact = true) {
    Row first;
    if (const auto refused = decode(found, first)) return must(refused.code == errc::corruption && !refused.what.empty(), "who refuses says why");
    const auto again = encode(first);
    must(!is_exact || again == found, "a row is written as it was read");
    Row second;
    must(!decode(again, second) && second == first, "a row reads as it was written");
}

void read_block(const core::row& found) {
    core::settled_set::block_row first, second;
    if (core::decode(found, first)) return;
    must(first.first <= first.last, "a run of blocks is in order");
    const auto id = core::subscription_of(found.key);
    must(id.has_value(), "a block row names its subscription");
    std::uint32_t partition = 0;
    for (std::size_t i = 5; i < 9; ++i) partition = partition << 8 | static_cast<std::uint8_t>(found.key[i]);
    const auto again = core::encode(*id, partition, first);
    must(again == found, "a block row is written as it was read");
    must(!core::decode(again, second) && second.last == first.last && second.bits == first.bits, "a block row reads as it was written");
}

/// Rows of producers have no values outside: they are believed, and written again, by their owner.
void read_producer(const core::row& found) {
    core::producers all;
    if (all.recover(found)) return;
    std::vector<core::mutation> changes;
    all.take_changes(changes);
    must(changes.empty(), "what was recovered is no change");
    const timestamp late{std::chrono::hours{500'000}};
    for (const auto id : all.idle(late)) must(!all.forget(id, late), "who has been idle is forgotten");
}

}  // namespace

void rows(input in) {
    choices c(in);
    const auto length = c.byte();
    const auto key = c.rest().first(std::min<std::size_t>(length, c.rest().size()));
    const core::row found{std::string(text_of(key)), std::string(text_of(c.rest().subspan(key.size())))};

    sequence last;
    core::fencing_epoch epoch{};
    if (storage::parse_entry_key(found.key, last)) must(found.key.size() == 16, "an entry's key has 16 bytes");
    if (storage::parse_epoch_value(found.value, epoch)) must(storage::epoch_value(epoch) == found.value, "an epoch is written as it was read");
    if (found.key.empty()) return;
    switch (found.key.front()) {
        case 'M': return found.key == "M" ? read_and_write<core::meta_row>(found) : void();
        case 'T': return read_and_write<core::topic_row>(found);
        case 'S': return read_and_write<core::subscription_row>(found);
        case 'P': return read_and_write<core::log_row>(found);
        case 'G': return read_and_write<core::progress_row>(found);
        case 'F': return read_and_write<core::failure_row>(found, false);
        case 'H': return read_and_write<core::hand_over_row>(found);
        case 'I': return read_and_write<core::arrival_row>(found);
        case 'B': return read_block(found);
        default: return read_producer(found);
    }
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(rows)

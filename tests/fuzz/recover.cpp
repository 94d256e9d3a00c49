// A shard from rows that somebody else wrote, or that a disk has changed: it is refused by name, or it works, and what contradicts itself is set aside.
// The input is rows end to end: { length of the key, length of the value, both } with one byte for each length.
#include <map>

#include "broker/core/shard.hpp"
#include "tests/core/row_map.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

using core::testing::row_map;
namespace answers = core::answers;

std::vector<core::mutation> rows_of(input in) {
    choices c(in);
    std::map<std::string, std::string> rows;
    while (!c.ended()) {
        auto key = c.text(64);
        rows[std::move(key)] = c.text(254);
    }
    std::vector<core::mutation> all;
    for (auto& [key, value] : rows) all.push_back(core::put_row{key, value});
    return all;
}

/// Lets the shard do what it has to, on a store that answers at once, until it rests or has had its turns.
class caretaker {
public:
    caretaker(core::shard& shard, row_map& store) : shard_(shard), store_(store) {}

    void work(timestamp from) {
        auto now = from;
        for (int turn = 0; turn < 20; ++turn) {
            step(now, core::input::tick{});
            if (shard_.has_open_group()) commit(now);
            const auto due = shard_.next_deadline();
            if (!due || *due - now > std::chrono::hours{1}) return;
            now = std::max(now, *due);
        }
    }

    void step(timestamp now, const core::any_input& in) {
        core::effects out;
        shard_.step(now, in, out);
        shard_.check();
        for (const auto& wanted : out.loads) std::visit([&](const auto& one) { load(now, one); }, wanted);
    }

private:
    void commit(timestamp now) {
        auto group = shard_.close_group();
        for (auto& m : group.mutations)
            if (!std::holds_alternative<core::free_entry>(m)) store_.apply({std::move(m)});  // there are rows alone here
        step(now, core::input::committed{group.number});
    }

    void load(timestamp now, const core::load_entries& wanted) { step(now, core::input::loaded_entries{wanted.partition, wanted.from, {}}); }

    void load(timestamp now, const core::load_blocks& wanted) {
        core::input::loaded_blocks found{wanted.subscription, wanted.partition, wanted.from, {}, true};
        for (const auto& r : store_.scan(core::block_rows(wanted.subscription, wanted.partition, wanted.from), wanted.limit)) {
            core::settled_set::block_row block;
            if (auto damaged = core::decode(r, block))
                return step(now, core::input::scan_failed{wanted.subscription, wanted.partition, wanted.from, std::move(damaged)});
            found.rows.push_back(block);
        }
        found.complete = found.rows.size() < wanted.limit;
        step(now, core::any_input(std::move(found)));
    }

    core::shard& shard_;
    row_map& store_;
};

void look_at(const core::shard& shard) {
    std::string after;
    std::size_t topics = 0;
    for (;;) {
        const auto page = shard.topic_names(after, 2);
        for (const auto& name : page.names) {
            must(bool(shard.look_at_topic(name)), "a topic that is listed is there", name);
            ++topics;
        }
        if (!page.more) break;
        after = page.names.back();
    }
    must(topics == shard.topics(), "every topic is listed");
    for (const auto& q : shard.quarantined()) must(q.code == errc::inconsistent && !q.what.empty(), "what is set aside is named", q);
}

}  // namespace

void recover(input in) {
    row_map store;
    store.apply(rows_of(in));
    auto recovered = core::shard::recover({}, store.scan(core::start_rows(), ~std::size_t{0}));
    if (!recovered) {
        must(recovered.failure().code == errc::corruption && !recovered.failure().what.empty(), "who refuses says why", recovered.failure());
        return;
    }
    auto& shard = recovered.value();
    shard.check();
    look_at(shard);
    caretaker(shard, store).work(timestamp{std::chrono::seconds{1'000'000'000}});
    look_at(shard);

    // What it has written is what it is.
    auto again = core::shard::recover({}, store.scan(core::start_rows(), ~std::size_t{0}));
    must(bool(again), "a shard that was recovered can be recovered again", again ? error{} : again.failure());
    again.value().check();
    must(again.value().topics() == shard.topics() && again.value().subscriptions() == shard.subscriptions(), "nothing is lost on the way");
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(recover)

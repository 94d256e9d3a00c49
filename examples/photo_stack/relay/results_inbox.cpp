#include "examples/photo_stack/relay/results_inbox.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <map>
#include <optional>
#include <pqxx/connection>
#include <pqxx/result>
#include <pqxx/transaction>
#include <vector>

#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/shards/shard_connections.hpp"
#include "examples/photo_stack/spans/message_trace.hpp"
#include "millrace/blocking_client.hpp"

namespace photo_relay {
namespace {

namespace client = millrace::client;

constexpr auto look_up = std::chrono::milliseconds{500};  // whether it is to end
constexpr std::uint32_t results_at_once = 200;            // one transaction

enum class standing {
    shown,      // its sizes are shown as they come
    asked_for,  // it is shown once it has all of them
    given_up    // the photo was deleted, or has a later version
};

/// Whoever else takes in something of that photo waits here, so that one of them is the last.
standing standing_of(pqxx::work& tx, const photo_stack::size_result& r) {
    const auto photo = tx.exec_params("select version from photos where id = $1 for update", r.photo);
    if (!photo.empty() && photo[0][0].as<int>() == r.version) return standing::shown;
    const bool asked_for = !tx.exec_params("select from outbox where photo_id = $1 and version = $2", r.photo, r.version).empty();
    return asked_for ? standing::asked_for : standing::given_up;
}

/// Files that have come back: those of a deleted photo go at once; those of a version may still be shown by a page that somebody has.
void note_given_up(pqxx::work& tx, const photo_stack::size_result& r) {
    if (!r.fault.empty()) return;
    const bool deleted = tx.exec_params("select from photos where id = $1", r.photo).empty();
    if (deleted) tx.exec_params("insert into store_repairs (photo_id, files) values ($1, array[$2])", r.photo, r.size.file);
    else tx.exec_params("insert into loose_files (photo_id, version) values ($1, $2) on conflict do nothing", r.photo, r.version);
}

bool close_outbox_row(pqxx::work& tx, const photo_stack::size_result& r) {
    return tx.exec_params("delete from outbox where photo_id = $1 and version = $2", r.photo, r.version).affected_rows() > 0;
}

/// Whether that was the end of the version's work; so for note_size.
bool note_fault(pqxx::work& tx, const photo_stack::size_result& r) {
    tx.exec_params("update photos set fault = $2 where id = $1", r.photo, r.fault);
    return close_outbox_row(tx, r);
}

/// The key of the row makes the effect once.
bool note_size(pqxx::work& tx, const photo_stack::size_result& r, bool is_shown) {
    const auto fresh = tx.exec_params("insert into renditions (photo_id, version, file, width, height, bytes) values ($1, $2, $3, $4, $5, $6)"
                                      " on conflict do nothing returning photo_id",
                                      r.photo, r.version, r.size.file, r.size.width, r.size.height, r.size.bytes);
    if (fresh.empty()) return false;  // it came before
    if (is_shown) tx.exec_params("update photos set stored_bytes = stored_bytes + $2 where id = $1", r.photo, r.size.bytes);
    const auto there = tx.exec_params1("select count(*) from renditions where photo_id = $1 and version = $2", r.photo, r.version)[0].as<std::size_t>();
    if (there < r.sizes) return false;
    if (is_shown) return close_outbox_row(tx, r);
    tx.exec_params("select show_version(photo_id, version, edit) from outbox where photo_id = $1 and version = $2", r.photo, r.version);
    return true;
}

bool note(pqxx::work& tx, const photo_stack::size_result& r) {
    const auto now = standing_of(tx, r);
    if (now != standing::given_up) return r.fault.empty() ? note_size(tx, r, now == standing::shown) : note_fault(tx, r);
    note_given_up(tx, r);
    return false;
}

std::optional<photo_stack::size_result> read(const client::delivery& d) {
    try {
        return photo_stack::size_result::from_text(d.message.payload);
    } catch (const std::runtime_error& why) {
        spdlog::error("{}", why.what());
        return std::nullopt;
    }
}

/// One transaction takes in what belongs to several traces: each has the span as its own.
std::string line_of(photo_spans::span span, const client::delivery& d, const photo_stack::size_result& r) {
    if (const auto worker = photo_spans::trace_of(d.message)) span.continue_trace(*worker);
    return span.line("take in the last of " + photo_stack::results_topic, {{"photo", std::to_string(r.photo)}});
}

struct understood_result {
    const client::delivery* delivery;
    photo_stack::size_result result;
};

/// One transaction in one shard; what it ended, as lines of the log. Throws when it is not committed.
std::vector<std::string> take_in(pqxx::connection& database, const photo_stack::shard_map& map, const std::vector<understood_result>& results) {
    const photo_spans::span span;
    pqxx::work tx(database);
    std::vector<std::string> ends;
    for (const auto& [delivery, result] : results) {
        photo_stack::hold_bucket(tx, map.place_of(result.photo));
        if (result.uneven) tx.exec_params("insert into store_repairs (photo_id) values ($1)", result.photo);
        if (note(tx, result)) ends.push_back(line_of(span, *delivery, result));
    }
    tx.commit();
    return ends;
}

/// By the shard that the photo is in, as far as is known.
std::map<std::size_t, std::vector<understood_result>> sort_out(client::blocking_consumer& results, const photo_stack::shard_map& map, const std::vector<client::delivery>& arrived) {
    std::map<std::size_t, std::vector<understood_result>> of_shard;
    for (const auto& d : arrived) {
        if (auto result = read(d)) of_shard[map.place_of(result->photo).shard].push_back({&d, std::move(*result)});
        else results.reject(d, "this is no result");
    }
    return of_shard;
}

/// What a shard does not take now comes again in a moment, and the others do not wait for it.
void take_in(photo_stack::shard_connections& shards, client::blocking_consumer& results, const std::vector<client::delivery>& arrived) {
    const auto map = shards.map();
    bool moved = false;
    for (const auto& [shard, of_shard] : sort_out(results, map, arrived)) {
        const auto& part = map.shards.at(shard);
        std::string refused;
        try {
            const auto ends = take_in(shards.to(part), map, of_shard);
            for (const auto& r : of_shard) results.ack(*r.delivery);
            for (const auto& line : ends) spdlog::info("{}", line);
            continue;
        } catch (const photo_stack::bucket_elsewhere& why) {
            moved = true;
            refused = why.what();
        } catch (const std::exception& why) {
            shards.forget(part);
            refused = why.what();
        }
        spdlog::warn("{} results for shard {} come again: {}", of_shard.size(), part.name, refused);
        for (const auto& r : of_shard) results.nack(*r.delivery, refused);
    }
    results.settle();
    if (moved) shards.new_map();
}

}  // namespace

void take_results_in(const inbox_settings& settings, const std::atomic<bool>& ending) {
    client::blocking_client broker(settings.broker);
    auto results = broker.subscribe(photo_stack::results_topic, photo_stack::inbox_subscription, {.credit_messages = results_at_once});
    photo_stack::shard_connections shards(settings.database);
    spdlog::info("taking results in");
    while (!ending) {
        const auto arrived = results.receive(look_up);
        if (!arrived.empty()) take_in(shards, results, arrived);
    }
    results.close();
}

}  // namespace photo_relay

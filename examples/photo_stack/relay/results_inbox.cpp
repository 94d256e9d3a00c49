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

bool close_outbox_row(pqxx::work& tx, const photo_stack::size_result& r) {
    return tx.exec_params("delete from outbox where photo_id = $1 and version = $2", r.photo, r.version).affected_rows() > 0;
}

/// Whether that was the end of the photo's work; so for note_size.
bool note_fault(pqxx::work& tx, const photo_stack::size_result& r) {
    tx.exec_params("update photos set fault = $3 where id = $1 and version = $2", r.photo, r.version, r.fault);
    return close_outbox_row(tx, r);
}

/// The key of the row makes the effect once. Whoever else takes in another size of that photo waits at the photo's row, so that one of them is the last.
bool note_size(pqxx::work& tx, const photo_stack::size_result& r) {
    const auto fresh = tx.exec_params("insert into renditions (photo_id, version, file, width, height, bytes) select id, $2, $3, $4, $5, $6 from photos where id = $1"
                                      " on conflict do nothing returning photo_id",
                                      r.photo, r.version, r.size.file, r.size.width, r.size.height, r.size.bytes);
    if (fresh.empty()) {  // it came before; or the photo was deleted meanwhile, and a file has come back
        tx.exec_params("insert into store_repairs (photo_id, files) select $1, array[$2] where not exists (select from photos where id = $1)", r.photo, r.size.file);
        return false;
    }
    tx.exec_params("update photos set stored_bytes = stored_bytes + $2 where id = $1", r.photo, r.size.bytes);
    const auto there = tx.exec_params1("select count(*) from renditions where photo_id = $1 and version = $2", r.photo, r.version)[0].as<std::size_t>();
    return there >= r.sizes && close_outbox_row(tx, r);
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
        const bool ended = result.fault.empty() ? note_size(tx, result) : note_fault(tx, result);
        if (ended) ends.push_back(line_of(span, *delivery, result));
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

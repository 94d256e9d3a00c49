#include "examples/photo_stack/relay/outbox_rows.hpp"

#include <pqxx/nontransaction>
#include <pqxx/result>
#include <pqxx/transaction>

#include "examples/photo_stack/shards/database_connection.hpp"

namespace photo_relay {
namespace {

/// It publishes, and until the transaction ends nobody else becomes the current incarnation.
void beat(pqxx::work& tx, const std::string& relay, std::uint32_t epoch) {
    if (tx.exec_params("update outbox_producer set beats = beats + 1 where name = $1 and epoch = $2", relay, epoch).affected_rows() == 0)
        throw superseded("there is a later incarnation of '" + relay + "' than " + std::to_string(epoch));
}

claimed_photo claimed_from(const pqxx::row& r) {
    return {{r["photo_id"].as<std::int64_t>(), r["version"].as<int>(), r["original"].as<std::string>(), r["owner"].as<std::string>(), r["title"].as<std::string>(),
             photo_stack::edit_from_text(r["edit"].as<std::string>())},
            r["batch"].as<std::uint64_t>(),
            r["traceparent"].as<std::string>()};
}

}  // namespace

outbox_rows::outbox_rows(const std::string& database, std::string relay, std::uint32_t epoch) : connection_(photo_stack::connect(database)), relay_(std::move(relay)), epoch_(epoch) {
    pqxx::nontransaction tx(*connection_);
    tx.exec("listen outbox");
}

void outbox_rows::settle_claims(std::uint64_t last_taken) {
    pqxx::work tx(*connection_);
    const auto begun = tx.exec_params("insert into outbox_producer (name, epoch) values ($1, $2)"
                                      " on conflict (name) do update set epoch = excluded.epoch where outbox_producer.epoch < excluded.epoch returning epoch",
                                      relay_, epoch_);
    if (begun.empty()) throw superseded("there is a later incarnation of '" + relay_ + "' than " + std::to_string(epoch_));
    tx.exec_params("update outbox set published_at = now() where batch <= $1 and published_at is null and relay = $2", last_taken, relay_);
    tx.exec_params("update outbox set batch = null, producer_epoch = null, published_at = null where batch > $1 and relay = $2", last_taken, relay_);
    tx.commit();
}

std::vector<claimed_photo> outbox_rows::claim(std::uint64_t first_batch, int count_max) {
    pqxx::work tx(*connection_);
    beat(tx, relay_, epoch_);
    const auto rows = tx.exec_params(
        "with free as (select photo_id, version from outbox where batch is null and relay = $4"
        "   and exists (select from own_buckets where bucket = photo_id % 256 and state = 'owned') order by photo_id, version limit $3 for update skip locked),"
        " numbered as (select photo_id, version, $1::bigint + row_number() over (order by photo_id, version) - 1 as batch from free),"
        " claimed as (update outbox set producer_epoch = $2, batch = numbered.batch from numbered"
        "   where outbox.photo_id = numbered.photo_id and outbox.version = numbered.version returning outbox.photo_id, outbox.version, outbox.batch, outbox.traceparent,"
        "   outbox.edit)"
        " select photo_id, claimed.version, claimed.batch, traceparent, claimed.edit, original, users.name as owner, title"
        " from claimed join photos on photos.id = photo_id join users on users.id = user_id order by batch",
        first_batch, epoch_, count_max, relay_);
    tx.commit();
    std::vector<claimed_photo> claimed;
    for (const auto& r : rows) claimed.push_back(claimed_from(r));
    return claimed;
}

void outbox_rows::mark_published(const std::vector<claimed_photo>& photos) {
    pqxx::work tx(*connection_);
    for (const auto& p : photos)
        tx.exec_params("update outbox set published_at = now() where photo_id = $1 and version = $2 and batch = $3", p.photo.photo, p.photo.version, p.batch);
    tx.commit();
}

std::map<std::string, std::optional<std::int64_t>> outbox_rows::beats_of_others() {
    pqxx::nontransaction tx(*connection_);
    std::map<std::string, std::optional<std::int64_t>> beats;
    for (const auto& r : tx.exec_params("select distinct relay, beats from outbox left join outbox_producer on name = relay where relay <> $1", relay_)) {
        auto& count = beats[r["relay"].as<std::string>()];
        if (!r["beats"].is_null()) count = r["beats"].as<std::int64_t>();
    }
    return beats;
}

std::size_t outbox_rows::take_over(const std::string& relay) {
    pqxx::work tx(*connection_);
    beat(tx, relay_, epoch_);
    const auto taken = tx.exec_params("update outbox set relay = $2, producer_epoch = null, batch = null, published_at = null where relay = $1", relay, relay_);
    tx.commit();
    return static_cast<std::size_t>(taken.affected_rows());
}

void outbox_rows::wait(std::chrono::seconds limit) { connection_->await_notification(limit.count(), 0); }

}  // namespace photo_relay

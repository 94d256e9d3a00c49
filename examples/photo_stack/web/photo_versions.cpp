#include "examples/photo_stack/web/photo_versions.hpp"

#include <pqxx/result>

#include "examples/photo_stack/web/current_span.hpp"
#include "examples/photo_stack/web/loose_files.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

/// The newest version that is shown or asked for. Who else changes the photo waits until the transaction ends.
int newest_version(transaction& tx, std::int64_t user, std::int64_t photo) {
    const auto found = tx.exec_params("select version from photos where id = $1 and user_id = $2 for update", photo, user);
    if (found.empty()) throw not_found();
    const auto asked_for = tx.exec_params1("select coalesce(max(version), 0) from outbox where photo_id = $1", photo);
    return std::max(found[0][0].as<int>(), asked_for[0].as<int>());
}

void add_version(transaction& tx, std::int64_t photo, const photo_version& version, const ordered_work& work) {
    keep_loose_files(tx, photo, version.number);
    if (version.sizes.empty()) {
        tx.exec_params("delete from outbox using photos where id = photo_id and photo_id = $1 and outbox.version > photos.version", photo);
        insert_work(tx, photo, version, work);
    } else {
        insert_sizes(tx, photo, version);
        if (version.uneven) order_repair(tx, photo);
        tx.exec_params("select show_version($1, $2, $3)", photo, version.number, photo_stack::text_of(version.edit));
    }
}

}  // namespace

void insert_sizes(transaction& tx, std::int64_t photo, const photo_version& version) {
    for (const auto& s : version.sizes)
        tx.exec_params("insert into renditions (photo_id, version, file, width, height, bytes) values ($1, $2, $3, $4, $5, $6)", photo, version.number, s.file, s.width,
                       s.height, s.bytes);
}

void order_repair(transaction& tx, std::int64_t photo) { tx.exec_params("insert into store_repairs (photo_id) values ($1)", photo); }

void insert_work(transaction& tx, std::int64_t photo, const photo_version& version, const ordered_work& work) {
    tx.exec_params("insert into outbox (photo_id, version, edit, relay, traceparent) values ($1, $2, $3, $4, $5)", photo, version.number,
                   photo_stack::text_of(version.edit), work.relay, work.traceparent);
    tx.exec0("notify outbox");  // when it is committed
}

asio::awaitable<std::optional<int>> photo_versions::reserve(std::int64_t user, std::int64_t photo) {
    return rows_.run(user, [user, photo](transaction& tx) -> std::optional<int> {
        const auto numbered = tx.exec_params("update photos set last_version = last_version + 1 where id = $1 and user_id = $2 returning last_version", photo, user);
        if (numbered.empty()) return std::nullopt;
        const auto number = numbered[0][0].as<int>();
        note_loose_files(tx, photo, number);
        return number;
    });
}

asio::awaitable<std::optional<stored_answer>> photo_versions::add(std::int64_t user, std::int64_t photo, photo_version version, std::optional<write_key> key,
                                                                  stored_answer answer) {
    auto traceparent = co_await current_traceparent();  // by itself: GCC 12 destroys a temporary beside a co_await twice
    const ordered_work work{relay_, std::move(traceparent)};
    auto adding = [=](transaction& tx) -> std::optional<stored_answer> {
        if (key && !take_key(tx, user, *key, answer)) return find_answer(tx, user, *key);
        if (newest_version(tx, user, photo) < version.number) add_version(tx, photo, version, work);
        return std::nullopt;
    };
    co_return co_await rows_.run(user, std::move(adding));
}

}  // namespace photo_web

#include "examples/photo_stack/web/photo_catalog.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <pqxx/result>
#include <tuple>

#include "examples/photo_stack/web/current_span.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

const std::string photo_columns =
    "select photos.id, photos.user_id, users.name as user_name, title, original, bytes, width, height, version, stored_bytes, coalesce(fault, '') as fault,"
    " to_char(photos.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as created_at,"
    " (extract(epoch from photos.created_at) * 1000000)::bigint as created_us,"
    " exists (select from outbox where photo_id = photos.id and outbox.version = photos.version) as in_work,"
    " coalesce((select file from renditions where photo_id = photos.id and renditions.version = photos.version and file like '%-square.jpg'), '') as square"
    " from photos join users on users.id = photos.user_id ";

photo_row photo_from(const pqxx::row& r) {
    photo_row p;
    r["id"].to(p.id);
    r["user_id"].to(p.user_id);
    r["user_name"].to(p.user_name);
    r["title"].to(p.title);
    r["original"].to(p.original);
    r["bytes"].to(p.bytes);
    r["width"].to(p.width);
    r["height"].to(p.height);
    r["version"].to(p.version);
    r["created_at"].to(p.created_at);
    r["created_us"].to(p.created_us);
    r["stored_bytes"].to(p.stored_bytes);
    r["in_work"].to(p.in_work);
    r["fault"].to(p.fault);
    r["square"].to(p.square);
    return p;
}

std::vector<photo_row> photos_from(const pqxx::result& found) {
    std::vector<photo_row> photos;
    for (const auto& r : found) photos.push_back(photo_from(r));
    return photos;
}

std::vector<photo_stack::photo_size> sizes_of(transaction& tx, const photo_row& p) {
    std::vector<photo_stack::photo_size> sizes;
    for (const auto& r : tx.exec_params("select file, width, height, bytes from renditions where photo_id = $1 and version = $2 order by width, file", p.id, p.version))
        sizes.push_back({r["file"].as<std::string>(), r["width"].as<int>(), r["height"].as<int>(), r["bytes"].as<std::int64_t>()});
    return sizes;
}

void insert_photo(transaction& tx, const photo_row& p, const std::string& traceparent) {
    auto stored_bytes = p.bytes;
    for (const auto& s : p.sizes) stored_bytes += s.bytes;
    tx.exec_params("insert into photos (id, user_id, title, original, bytes, width, height, version, stored_bytes) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                   p.id, p.user_id, p.title, p.original, p.bytes, p.width, p.height, p.version, stored_bytes);
    for (const auto& s : p.sizes)
        tx.exec_params("insert into renditions (photo_id, version, file, width, height, bytes) values ($1, $2, $3, $4, $5, $6)", p.id, p.version, s.file, s.width,
                       s.height, s.bytes);
    if (p.uneven) tx.exec_params("insert into store_repairs (photo_id) values ($1)", p.id);
    if (!p.sizes.empty()) return;
    tx.exec_params("insert into outbox (photo_id, version, traceparent) values ($1, $2, $3)", p.id, p.version, traceparent);
    tx.exec0("notify outbox");  // when it is committed
}

bool delete_photo(transaction& tx, std::int64_t user, std::int64_t photo) {
    return tx.exec_params("delete from photos where id = $1 and user_id = $2", photo, user).affected_rows() == 1;
}

/// Together with the order to remove what stores and edges have of it, which so is not lost when one of them is away.
bool delete_photo_and_files(transaction& tx, std::int64_t user, std::int64_t photo) {
    return tx.exec_params("with gone as (delete from photos where id = $1 and user_id = $2 returning id),"
                          " named as (select coalesce(array_agg(file), '{}') as files from renditions where photo_id = $1)"
                          " insert into store_repairs (photo_id, files) select id, files from gone, named",
                          photo, user)
               .affected_rows() == 1;
}

std::optional<stored_answer> find_answer(transaction& tx, std::int64_t user, const write_key& key) {
    const auto found = tx.exec_params("select request, status, answer from idempotency_keys where user_id = $1 and key = $2", user, key.key);
    if (found.empty()) return std::nullopt;
    if (found[0]["request"].as<std::string>() != key.request)
        throw refusal(422, "idempotency_key_reused", "This Idempotency-Key was used before for another request.");
    return stored_answer{found[0]["status"].as<unsigned>(), found[0]["answer"].as<std::string>()};
}

/// Whether the key was free. Waits for whoever is about to commit it.
bool take_key(transaction& tx, std::int64_t user, const write_key& key, const stored_answer& answer) {
    tx.exec_params("delete from idempotency_keys where user_id = $1 and created_at < now() - interval '1 day'", user);
    return !tx.exec_params("insert into idempotency_keys (user_id, key, request, status, answer) values ($1, $2, $3, $4, $5)"
                           " on conflict do nothing returning key",
                           user, key.key, key.request, answer.status, answer.text)
                .empty();
}

}  // namespace

asio::awaitable<std::vector<photo_row>> photo_catalog::of_user(std::int64_t user, std::optional<std::int64_t> before, int count_max, log_positions after) {
    return rows_.read(user, std::move(after), [=](transaction& tx) {
        return photos_from(tx.exec_params(photo_columns + "where photos.user_id = $1 and photos.id < $2 order by photos.id desc limit $3", user,
                                          before.value_or(std::numeric_limits<std::int64_t>::max()), count_max));
    });
}

asio::awaitable<std::vector<photo_row>> photo_catalog::newest(int count_max, log_positions after) {
    const auto asking = [&](const shard_part& part) { return newest_in(part, count_max, after); };
    auto found = co_await rows_.of_each_shard(asking);
    co_return newest_of(std::move(found), count_max);
}

/// Rows of buckets that arrive, or have left, are there, too.
asio::awaitable<std::vector<photo_row>> photo_catalog::newest_in(const shard_part& part, int count_max, log_positions after) {
    return rows_.read_all(part, std::move(after), [=](transaction& tx) {
        return photos_from(tx.exec_params(photo_columns + "where exists (select from own_buckets where bucket = photos.id % 256 and state = 'owned')"
                                                          " order by photos.created_at desc, photos.id desc limit $1",
                                          count_max));
    });
}

std::vector<photo_row> photo_catalog::newest_of(std::vector<std::vector<photo_row>> of_each_shard, int count_max) {
    std::vector<photo_row> all;
    for (auto& photos : of_each_shard) std::move(photos.begin(), photos.end(), std::back_inserter(all));
    std::sort(all.begin(), all.end(), [](const photo_row& a, const photo_row& b) { return std::tie(a.created_us, a.id) > std::tie(b.created_us, b.id); });
    if (all.size() > static_cast<std::size_t>(count_max)) all.resize(static_cast<std::size_t>(count_max));
    return all;
}

asio::awaitable<std::optional<photo_row>> photo_catalog::find(std::int64_t photo, log_positions after) {
    return rows_.find(photo, std::move(after), [=](transaction& tx) -> std::optional<photo_row> {
        const auto found = tx.exec_params(photo_columns + "where photos.id = $1", photo);
        if (found.empty()) return std::nullopt;
        auto p = photo_from(found[0]);
        p.sizes = sizes_of(tx, p);
        return p;
    });
}

/// The bucket's next shard goes on where this one was, so that later photos of a user have larger numbers.
asio::awaitable<std::vector<std::int64_t>> photo_catalog::reserve(std::int64_t user, std::size_t count) {
    return rows_.ask(user, [=](transaction& tx) {
        std::vector<std::int64_t> ids;
        for (const auto& r : tx.exec_params("select nextval('photo_numbers') * 256 + $2 from generate_series(1, $1::int)", count, photo_stack::bucket_of(user)))
            ids.push_back(r[0].as<std::int64_t>());
        return ids;
    });
}

asio::awaitable<std::optional<stored_answer>> photo_catalog::answer_to(std::int64_t user, write_key key) {
    return rows_.ask(user, [user, key](transaction& tx) { return find_answer(tx, user, key); });
}

asio::awaitable<std::optional<stored_answer>> photo_catalog::add(std::vector<photo_row> photos, std::optional<write_key> key, stored_answer answer) {
    const auto here = co_await current_span();
    const auto traceparent = here && *here ? photo_spans::traceparent((*here)->context()) : std::string();
    const auto user = photos.at(0).user_id;
    auto adding = [user, photos, key, answer, traceparent](transaction& tx) -> std::optional<stored_answer> {
        if (key && !take_key(tx, user, *key, answer)) return find_answer(tx, user, *key);
        for (const auto& p : photos) insert_photo(tx, p, traceparent);
        return std::nullopt;
    };
    co_return co_await rows_.run(user, std::move(adding));
}

asio::awaitable<bool> photo_catalog::remove(std::int64_t user, std::int64_t photo, std::optional<write_key> key) {
    return rows_.run(user, [=, storekeeper = storekeeper_](transaction& tx) {
        if (key && find_answer(tx, user, *key)) return true;
        const bool removed = storekeeper ? delete_photo_and_files(tx, user, photo) : delete_photo(tx, user, photo);
        if (key && removed) take_key(tx, user, *key, {204, ""});
        return removed;
    });
}

}  // namespace photo_web

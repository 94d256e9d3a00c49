#include "examples/photo_stack/web/photo_catalog.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <pqxx/result>
#include <tuple>

#include "examples/photo_stack/web/current_span.hpp"
#include "examples/photo_stack/web/loose_files.hpp"
#include "examples/photo_stack/web/photo_versions.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

const std::string photo_columns =
    "select photos.id, photos.user_id, users.name as user_name, title, original, bytes, width, height, photos.version, photos.edit, stored_bytes,"
    " coalesce(fault, '') as fault, to_char(photos.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as created_at,"
    " (extract(epoch from photos.created_at) * 1000000)::bigint as created_us,"
    " newest_work.version as version_in_work, newest_work.edit as edit_in_work,"
    " coalesce((select file from renditions where photo_id = photos.id and renditions.version = photos.version and file like '%-square.jpg'), '') as square"
    " from photos join users on users.id = photos.user_id"
    " left join lateral (select version, edit from outbox where photo_id = photos.id order by version desc limit 1) newest_work on true ";

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
    r["version"].to(p.shown.number);
    p.shown.edit = photo_stack::edit_from_text(r["edit"].as<std::string>());
    r["created_at"].to(p.created_at);
    r["created_us"].to(p.created_us);
    r["stored_bytes"].to(p.stored_bytes);
    r["fault"].to(p.fault);
    r["square"].to(p.square);
    p.in_work = !r["version_in_work"].is_null();
    if (p.in_work && r["version_in_work"].as<int>() != p.shown.number)
        p.coming = photo_version{.number = r["version_in_work"].as<int>(), .edit = photo_stack::edit_from_text(r["edit_in_work"].as<std::string>())};
    return p;
}

std::vector<photo_row> photos_from(const pqxx::result& found) {
    std::vector<photo_row> photos;
    for (const auto& r : found) photos.push_back(photo_from(r));
    return photos;
}

std::vector<photo_stack::photo_size> sizes_of(transaction& tx, std::int64_t photo, int version) {
    std::vector<photo_stack::photo_size> sizes;
    for (const auto& r : tx.exec_params("select file, width, height, bytes from renditions where photo_id = $1 and version = $2 order by width, file", photo, version))
        sizes.push_back({r["file"].as<std::string>(), r["width"].as<int>(), r["height"].as<int>(), r["bytes"].as<std::int64_t>()});
    return sizes;
}

void insert_photo(transaction& tx, const photo_row& p, const ordered_work& work) {
    keep_loose_files(tx, p.id, all_files);
    tx.exec_params("insert into photos (id, user_id, title, original, bytes, width, height, stored_bytes) values ($1, $2, $3, $4, $5, $6, $7, $8)", p.id, p.user_id,
                   p.title, p.original, p.bytes, p.width, p.height, bytes_of(p));
    if (p.shown.uneven) order_repair(tx, p.id);
    if (p.shown.sizes.empty()) insert_work(tx, p.id, p.shown, work);
    else insert_sizes(tx, p.id, p.shown);
}

bool delete_photo(transaction& tx, std::int64_t user, std::int64_t photo) {
    return tx.exec_params("delete from photos where id = $1 and user_id = $2", photo, user).affected_rows() == 1;
}

/// Together with the order to remove what stores and edges have of it, which so is not lost when one of them is away. Versions that are loose have files, too.
bool delete_photo_and_files(transaction& tx, std::int64_t user, std::int64_t photo) {
    const auto ordered = tx.exec_params("with gone as (delete from photos where id = $1 and user_id = $2 returning id),"
                                        " named as (select coalesce(array_agg(file), '{}') as files from renditions where photo_id = $1)"
                                        " insert into store_repairs (photo_id, files) select id, files from gone, named",
                                        photo, user);
    if (ordered.affected_rows() != 1) return false;
    tx.exec_params("insert into store_repairs (photo_id, version) select photo_id, version from loose_files where photo_id = $1 and version <> $2", photo, all_files);
    return true;
}

}  // namespace

std::int64_t bytes_of(const photo_row& photo) {
    auto bytes = photo.bytes;
    for (const auto& s : photo.shown.sizes) bytes += s.bytes;
    return bytes;
}

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
    all.erase(std::unique(all.begin(), all.end(), [](const photo_row& a, const photo_row& b) { return a.id == b.id; }), all.end());  // a replica may not know yet that it left
    if (all.size() > static_cast<std::size_t>(count_max)) all.resize(static_cast<std::size_t>(count_max));
    return all;
}

asio::awaitable<std::optional<photo_row>> photo_catalog::find(std::int64_t photo, log_positions after) {
    return rows_.find(photo, std::move(after), [=](transaction& tx) -> std::optional<photo_row> {
        const auto found = tx.exec_params(photo_columns + "where photos.id = $1", photo);
        if (found.empty()) return std::nullopt;
        auto p = photo_from(found[0]);
        p.shown.sizes = sizes_of(tx, p.id, p.shown.number);
        if (p.coming) p.coming->sizes = sizes_of(tx, p.id, p.coming->number);
        return p;
    });
}

/// The bucket's next shard goes on where this one was, so that later photos of a user have larger numbers.
asio::awaitable<std::vector<std::int64_t>> photo_catalog::reserve(std::int64_t user, std::size_t count) {
    return rows_.run(user, [=](transaction& tx) {
        std::vector<std::int64_t> ids;
        for (const auto& r : tx.exec_params("insert into loose_files (photo_id, version) select nextval('photo_numbers') * 256 + $2, $3::int from generate_series(1, $1::int)"
                                            " returning photo_id",
                                            count, photo_stack::bucket_of(user), all_files))
            ids.push_back(r[0].as<std::int64_t>());
        return ids;
    });
}

asio::awaitable<std::optional<stored_answer>> photo_catalog::answer_to(std::int64_t user, write_key key) {
    return rows_.ask(user, [user, key](transaction& tx) { return find_answer(tx, user, key); });
}

asio::awaitable<std::optional<stored_answer>> photo_catalog::add(std::vector<photo_row> photos, std::optional<write_key> key, stored_answer answer) {
    auto traceparent = co_await current_traceparent();  // by itself: GCC 12 destroys a temporary beside a co_await twice
    const ordered_work work{relay_, std::move(traceparent)};
    const auto user = photos.at(0).user_id;
    auto adding = [user, photos, key, answer, work](transaction& tx) -> std::optional<stored_answer> {
        if (key && !take_key(tx, user, *key, answer)) return find_answer(tx, user, *key);
        for (const auto& p : photos) insert_photo(tx, p, work);
        return std::nullopt;
    };
    co_return co_await rows_.run(user, std::move(adding));
}

asio::awaitable<bool> photo_catalog::remove(std::int64_t user, std::int64_t photo, std::optional<write_key> key) {
    return rows_.run(user, [=, storekeeper = storekeeper_](transaction& tx) {
        if (key && find_answer(tx, user, *key)) return true;
        const bool removed = storekeeper ? delete_photo_and_files(tx, user, photo) : delete_photo(tx, user, photo);
        if (key && removed) take_key(tx, user, *key, {204, ""});
        if (removed) note_loose_files(tx, photo, all_files);
        return removed;
    });
}

}  // namespace photo_web

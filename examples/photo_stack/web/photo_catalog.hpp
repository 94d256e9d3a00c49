// Which photos there are, whose, and which of their sizes are there: rows. Their bytes are in photo_files.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/photo_edit.hpp"
#include "examples/photo_stack/photos/photo_sizes.hpp"
#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/write_keys.hpp"

namespace photo_web {

struct photo_version {
    int number = 1;
    photo_stack::photo_edit edit{};
    std::vector<photo_stack::photo_size> sizes{};  // those that are there
    bool uneven = false;                            // an object store lacks files of it, or the original; not read
};

struct photo_row {
    std::int64_t id = 0;
    std::int64_t user_id = 0;
    std::string user_name;  // as read; not written
    std::string title;
    std::string original;  // the name of its file
    std::int64_t bytes = 0;
    int width = 0, height = 0;
    photo_version shown{};

    // as read; not written
    std::string created_at;               // "2026-01-31T12:00:00Z"
    std::int64_t created_us = 0;          // the same since 1970: numbers of photos in different shards do not say which one is newer
    std::int64_t stored_bytes = 0;        // the original and its sizes
    bool in_work = false;                 // more sizes will come
    std::optional<photo_version> coming;  // which is shown when it has all of them; without it they are of the version that is shown
    std::string fault;                    // why none will: the photo is damaged
    std::string square;                   // the file of that size, once it is there
};

/// Of the files that are shown, and of the original.
std::int64_t bytes_of(const photo_row& photo);

/// Everything throws database_unavailable.
class photo_catalog {
public:
    /// `storekeeper`: there is one, who is left to see to it that the object stores have what the catalog says. `relay`: who is to publish what is put into
    /// the outbox.
    photo_catalog(database& rows, bool storekeeper, std::string relay) : rows_(rows), storekeeper_(storekeeper), relay_(std::move(relay)) {}

    /// Newest first, those before the photo `before` when it is given, as of `after` or later. Without sizes.
    boost::asio::awaitable<std::vector<photo_row>> of_user(std::int64_t user, std::optional<std::int64_t> before, int count_max, log_positions after);
    boost::asio::awaitable<std::vector<photo_row>> newest(int count_max, log_positions after);

    /// Those of one shard; for database::of_each_shard.
    boost::asio::awaitable<std::vector<photo_row>> newest_in(const shard_part& part, int count_max, log_positions after);
    static std::vector<photo_row> newest_of(std::vector<std::vector<photo_row>> of_each_shard, int count_max);

    boost::asio::awaitable<std::optional<photo_row>> find(std::int64_t photo, log_positions after);

    /// Numbers that no photo has, nor will have unless add() gives it them, for photos of that user. Their files are loose until then.
    boost::asio::awaitable<std::vector<std::int64_t>> reserve(std::int64_t user, std::size_t count);

    /// The answer to an earlier write of that user and key. Throws refusal when it was another request.
    boost::asio::awaitable<std::optional<stored_answer>> answer_to(std::int64_t user, write_key key);

    /// All of them, reserved, with the answer that the key will be given from now on; or, when the key has an answer since, nothing but that answer. Those
    /// that have no sizes yet are put into the outbox, so that somebody will make them.
    boost::asio::awaitable<std::optional<stored_answer>> add(std::vector<photo_row> photos, std::optional<write_key> key, stored_answer answer);

    /// Whether that user had such a photo, or had it when the same key was used first. Throws refusal when the key was used for something else. Its files
    /// are loose from then on.
    boost::asio::awaitable<bool> remove(std::int64_t user, std::int64_t photo, std::optional<write_key> key);

private:
    database& rows_;
    bool storekeeper_;
    std::string relay_;
};

}  // namespace photo_web

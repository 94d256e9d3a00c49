// The database, in shards: whoever asks says for which user or photo, and it is asked where that is.
//
//   run  ──► the primary of the shard; the bucket stays there until the transaction ends
//   ask  ──► the primary, without a change
//   read, find ──► a replica, where one knows enough; else the primary
//
// A bucket may move meanwhile, and its shard says so (shards/shard_map.hpp): then the map is read again, and the question asked at the other shard. Nobody
// above this notices more than a moment's wait.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "examples/photo_stack/shards/shard_map.hpp"
#include "examples/photo_stack/web/parsing/log_position.hpp"
#include "examples/photo_stack/web/shard.hpp"

namespace photo_web {

using photo_stack::shard_part;

/// One thread, that of `loop`, which outlives the database. Everything throws database_unavailable.
class database {
public:
    /// `directory` is the first shard, which knows of the others.
    database(const boost::asio::any_io_executor& loop, shard_settings directory);

    /// What `job` returns once it is committed, where the user or photo `id` is; see transaction_pool::perform for what a job may do.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> run(std::int64_t id, Job job) {
        return at(id, [job = std::move(job)](shard& rows, const shard_part&, const place& where) {
            return rows.run([job, where](transaction& tx) mutable {
                photo_stack::hold_bucket(tx, where);
                return job(tx);
            });
        });
    }

    /// What `job`, which changes nothing of the bucket, finds at the primary.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> ask(std::int64_t id, Job job) {
        return at(id, [job = std::move(job)](shard& rows, const shard_part&, const place& where) { return rows.run(reading(job, where)); });
    }

    /// What `job`, which only reads, finds in a database that is at `after` at least.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> read(std::int64_t id, log_positions after, Job job) {
        return at(id, [after = std::move(after), job = std::move(job)](shard& rows, const shard_part& part, const place& where) {
            return rows.read(after.of(part.name), reading(job, where));
        });
    }

    /// The same for one thing that may not be there. A replica that has none may only be behind: then the primary is asked.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> find(std::int64_t id, log_positions after, Job job) {
        return at(id, [after = std::move(after), job = std::move(job)](shard& rows, const shard_part& part, const place& where) {
            return rows.find(after.of(part.name), reading(job, where));
        });
    }

    /// What `question` gives for each shard; all of them anew when a bucket has moved meanwhile, so that each is in one of them. A shard that is not available
    /// is left out, unless all are. So is a bucket that stays between two shards: then each is asked for whatever it has (`holdings` of its part are empty).
    template <class Question>
    auto of_each_shard(Question question) -> boost::asio::awaitable<std::vector<typename std::invoke_result_t<Question&, const shard_part&>::value_type>> {
        const auto until = end_of_patience();
        for (bool whatever = false;;) {
            const auto map = co_await current_map(until);
            std::vector<typename std::invoke_result_t<Question&, const shard_part&>::value_type> answers;
            std::optional<database_unavailable> missing;
            bool moved = false;
            for (auto part : map->shards) {
                if (whatever) part.holdings.clear();
                try {
                    answers.push_back(co_await question(part));
                } catch (const database_unavailable& why) {
                    missing = why;
                } catch (const photo_stack::bucket_elsewhere&) {
                    moved = true;
                }
            }
            if (!moved && answers.empty() && missing) throw *missing;
            if (!moved) co_return answers;
            whatever = !co_await is_renewed(map, until);
        }
    }

    /// What `job`, which only reads, finds in all of a shard's own buckets. Throws photo_stack::bucket_elsewhere when they are others than `part` says, if it
    /// says which.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> read_all(const shard_part& part, log_positions after, Job job) {
        return shards_.at(part.name)->read(after.of(part.name), [job = std::move(job), part](transaction& tx) mutable {
            auto found = job(tx);
            photo_stack::require_holdings(tx, part);
            return found;
        });
    }

    /// What `job` returns once it is committed in that shard; it holds the buckets itself that it changes something of.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> run_in(const shard_part& part, Job job) {
        return shards_.at(part.name)->run(std::move(job));
    }

    /// What is no user's: names, and the map itself.
    shard& directory() { return *directory_; }

    bool has_replicas() const { return directory_->has_replicas(); }

    /// Behind everything that is committed by now, in the shard of that user or photo.
    boost::asio::awaitable<log_positions> position(std::int64_t id);

private:
    using clock = std::chrono::steady_clock;
    using place = photo_stack::bucket_place;
    using map_pointer = std::shared_ptr<const photo_stack::shard_map>;

    template <class Job>
    static auto reading(Job job, const place& where) {
        return [job = std::move(job), where](transaction& tx) mutable {
            auto found = job(tx);
            photo_stack::require_bucket(tx, where);
            return found;
        };
    }

    template <class Question>
    auto at(std::int64_t id, Question question) -> std::invoke_result_t<Question&, shard&, const shard_part&, const place&> {
        const auto until = end_of_patience();
        while (true) {
            const auto map = co_await current_map(until);
            const auto& where = map->place_of(id);
            const auto& part = map->shards.at(where.shard);
            try {
                co_return co_await question(*shards_.at(part.name), part, where);
            } catch (const photo_stack::bucket_elsewhere&) {
            }
            co_await renew(map, until);
        }
    }

    static boost::asio::awaitable<log_positions> named_position(shard& rows, std::string name);
    static clock::time_point end_of_patience();
    boost::asio::awaitable<map_pointer> current_map(clock::time_point until);
    boost::asio::awaitable<void> renew(map_pointer known, clock::time_point until);
    boost::asio::awaitable<bool> is_renewed(map_pointer known, clock::time_point until);
    boost::asio::awaitable<void> load();
    void take(photo_stack::shard_map map);

    boost::asio::any_io_executor loop_;
    shard_settings settings_;
    std::shared_ptr<shard> directory_;
    map_pointer map_;
    std::map<std::string, std::shared_ptr<shard>> shards_;
    bool loading_ = false;
    boost::asio::steady_timer loaded_;
};

}  // namespace photo_web

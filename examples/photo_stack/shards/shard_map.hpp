// Users are divided into buckets, and each bucket, with all that is its users', is in one shard: a database of its own.
//
//   a user's or photo's number ──► bucket ──► the map, a table of the directory ──► shard
//                                                                                    └─ which knows itself what it has, and refuses the rest
//
// Whoever has read the map keeps it. A bucket that has moved since has another version: the shard that it was in refuses whoever comes with the old one, and
// then the map is read again. So nothing is ever written into the wrong shard, nor read there, however old a map is.
#pragma once

#include <pqxx/transaction_base>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace photo_stack {

inline constexpr int buckets = 256;

/// Of a user; and of a user's photos, whose numbers are made so that they have the same.
constexpr int bucket_of(std::int64_t id) { return static_cast<int>(id % buckets); }

/// What a number has beside its bucket: by this, and not by the number, a user's photos are spread over something.
constexpr std::int64_t beside_bucket(std::int64_t id) { return id / buckets; }

struct bucket_place {
    int bucket = 0;
    std::int64_t version = 0;  // counts its moves
    std::size_t shard = 0;     // where it is in shard_map::shards
};

struct shard_part {
    std::string name;
    std::string address, replicas;  // what their connection strings have instead of the directory's; empty: this is the directory
    std::string holdings;           // its buckets and their versions, as it says itself; empty: whichever it has
};

/// Of a shard, given the directory's.
inline std::string address_of(const std::string& directory, const shard_part& part) {
    return directory + " " + part.address;  // of a word that comes twice libpq takes the last
}

struct shard_map {
    std::vector<shard_part> shards;  // those that have a bucket
    std::array<bucket_place, buckets> places;

    const bucket_place& place_of(std::int64_t id) const { return places.at(static_cast<std::size_t>(bucket_of(id))); }
};

/// The bucket is not there, or not any more: another map is needed.
struct bucket_elsewhere : std::runtime_error {
    using std::runtime_error::runtime_error;
};

shard_map read_shard_map(pqxx::transaction_base& directory);

/// Until the transaction ends the bucket stays. Throws bucket_elsewhere.
void hold_bucket(pqxx::transaction_base& tx, const bucket_place& place);

/// At the end of a transaction that only reads: what it has read of the bucket was all that there is. Throws bucket_elsewhere.
void require_bucket(pqxx::transaction_base& tx, const bucket_place& place);

/// The same for all that the shard has; anything, where `part` does not say what.
void require_holdings(pqxx::transaction_base& tx, const shard_part& part);

}  // namespace photo_stack

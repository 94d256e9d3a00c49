// Versions of photos: each is made of the original by an edit of its own, and has sizes of its own. The newest one that has all of them is shown.
//
//   reserve ─► its sizes are made, within the request ─► add ─► shown
//          └────────────────────────────────────────────► add ─► in the outbox ─► workers ─► inbox ─► shown
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/photo_catalog.hpp"

namespace photo_web {

/// Everything throws database_unavailable.
class photo_versions {
public:
    /// `relay`: who is to publish what is put into the outbox.
    photo_versions(database& rows, std::string relay) : rows_(rows), relay_(std::move(relay)) {}

    /// A number that no version of the photo has had; nothing when that user has no such photo. Its files are loose until it is added.
    boost::asio::awaitable<std::optional<int>> reserve(std::int64_t user, std::int64_t photo);

    /// With the answer that the key will be given from now on; or, when the key has an answer since, nothing but that answer. With its sizes it is shown, and
    /// without them put into the outbox, in the place of what is there and not shown yet; unless a later version was faster. Throws refusal when that user
    /// has no such photo any more.
    boost::asio::awaitable<std::optional<stored_answer>> add(std::int64_t user, std::int64_t photo, photo_version version, std::optional<write_key> key,
                                                             stored_answer answer);

private:
    database& rows_;
    std::string relay_;
};

/// What somebody is to do about a version's sizes: the relay that is to publish it, and the trace that it belongs to.
struct ordered_work {
    std::string relay, traceparent;
};

/// Within the transactions of others: the sizes of a version that is shown; that they are to be made; and that an object store lacks some of them.
void insert_sizes(transaction& tx, std::int64_t photo, const photo_version& version);
void insert_work(transaction& tx, std::int64_t photo, const photo_version& version, const ordered_work& work);
void order_repair(transaction& tx, std::int64_t photo);

}  // namespace photo_web

// The outbox as the relay sees it: rows of photos whose sizes are to be made. Each function is one transaction, and throws what libpqxx throws.
//
//   open ──claim──► claimed (producer epoch, batch) ──publish, mark──► published ──last result is in──► gone
//     ▲               │ the broker has not taken that batch: found out by the next incarnation
//     └───────────────┘
//
// A row whose bucket moves to another shard is published there when it was so here; one that was claimed is open again, as the new shard's relay cannot know how
// far this one came. A photo whose sizes are made twice is none the worse for it.
//
// A row is one relay's, that of the data centre where the photo was uploaded, until another relay takes it over: then it is open once more.
//
// A row that is not published yet may be taken away, with its photo, or when a later version is asked for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <pqxx/connection>
#include <stdexcept>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/photo_messages.hpp"

namespace photo_relay {

/// A later incarnation of this relay is at work.
struct superseded : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct claimed_photo {
    photo_stack::uploaded_photo photo;
    std::uint64_t batch = 0;
    std::string traceparent{};  // of the request that it came with; empty: nobody knows
};

class outbox_rows {
public:
    /// Those of the relay of that name in its incarnation `epoch`.
    outbox_rows(const std::string& database, std::string relay, std::uint32_t epoch);

    /// What earlier incarnations have left, now that the broker has said which batch was the last that it has taken. Whatever has a later one was never
    /// published, or the broker has lost it: that is open again. Throws superseded.
    void settle_claims(std::uint64_t last_taken);

    /// Up to `count_max` open rows, whose batches are numbered from `first_batch`, in the order of these numbers; and counts this relay's beats up. Throws
    /// superseded.
    std::vector<claimed_photo> claim(std::uint64_t first_batch, int count_max);

    void mark_published(const std::vector<claimed_photo>& photos);

    /// Of the other relays that have rows here: how far they have counted; nothing: they never were here.
    std::map<std::string, std::optional<std::int64_t>> beats_of_others();

    /// Whatever the other one had, published or not, is open, and this relay's. How many rows.
    std::size_t take_over(const std::string& relay);

    /// Returns when there may be an open row, or the time is over.
    void wait(std::chrono::seconds limit);

private:
    std::unique_ptr<pqxx::connection> connection_;
    std::string relay_;
    std::uint32_t epoch_;
};

}  // namespace photo_relay

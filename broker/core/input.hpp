// Everything that can happen to a shard. Values without behaviour; the core holds no reference into them after step().
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "broker/core/entry_index.hpp"
#include "broker/core/identity.hpp"
#include "broker/core/mutation.hpp"
#include "broker/core/producers.hpp"
#include "broker/core/row.hpp"
#include "broker/core/settings.hpp"
#include "broker/core/settled_set.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

/// Who asked, and under which number the answer goes back.
struct origin {
    session_id session{};
    request_id request{};

    auto operator<=>(const origin&) const = default;
};

inline constexpr std::uint32_t attempt_max = 1u << 30;  // no message is given as often; who claims more could make its count begin again

/// Messages of one partition that one consumer was given with one attempt.
struct lease_range {
    std::uint32_t partition = 0;
    sequence first;
    sequence last;
    std::uint32_t attempt = 1;

    bool operator==(const lease_range&) const = default;
};

namespace input {

// ---- commands: each is answered once, unless said ----

struct list_metadata { origin from; std::vector<std::string> topics; };
struct create_topic { origin from; std::string name; topic_changes settings; };
struct update_topic { origin from; std::string name; topic_changes settings; };
struct describe_topic { origin from; std::string name; };
struct list_topics { origin from; std::string after; std::uint32_t limit = 0; };
struct delete_topic { origin from; std::string name; bool force = false; };
struct purge_topic { origin from; std::string name; };

struct create_subscription { origin from; std::string topic; std::string name; subscription_changes settings; start_from start; };
struct describe_subscription { origin from; std::string topic; std::string name; };
struct list_subscriptions { origin from; std::string topic; };
struct update_subscription { origin from; std::string topic; std::string name; subscription_changes settings; };
struct delete_subscription { origin from; std::string topic; std::string name; bool force = false; };

/// A verified batch whose bytes the driver holds. `record_ends` are offsets from the batch's first record; the view is valid during step().
struct publish {
    origin from;
    partition_id partition;
    std::span<const std::uint32_t> record_ends;
    durability demanded = durability::memory;
    batch_claim claim;
};

/// Opens a named producer under a larger epoch; earlier incarnations are fenced, but by one that returns.
struct open_producer { origin from; std::string name; std::uint64_t incarnation = 0; bool returning = false; };

struct subscribe {
    origin from;
    consumer_id consumer{};
    std::string topic;
    std::string subscription;
    std::string name;
    std::uint32_t messages = 0;
    std::uint64_t bytes = 0;
    std::vector<lease_range> held;  // started leases of an earlier session, to be adopted
};
struct unsubscribe { origin from; consumer_id consumer{}; };

/// Not answered.
struct credit { session_id session{}; consumer_id consumer{}; std::uint32_t messages = 0; std::uint64_t bytes = 0; };

/// The handler has begun. Not answered.
struct start { session_id session{}; consumer_id consumer{}; std::vector<lease_range> ranges; };

struct ack { origin from; consumer_id consumer{}; std::vector<lease_range> ranges; };
struct nack { origin from; consumer_id consumer{}; std::vector<lease_range> ranges; std::string reason; };
struct reject { origin from; consumer_id consumer{}; std::vector<lease_range> ranges; std::string reason; };
struct release { origin from; consumer_id consumer{}; std::vector<lease_range> ranges; };
struct extend { origin from; consumer_id consumer{}; std::vector<lease_range> ranges; };

struct peek { origin from; std::string topic; std::uint32_t partition = 0; sequence at; std::uint32_t messages = 0; std::uint32_t bytes = 0; };

/// Not answered. The session and all its consumers are gone.
struct session_lost { session_id session{}; };

// ---- what the driver reports ----

/// Group `number`, and every one before it, is durable.
struct committed { group_number number{}; };

/// The envelope of a dead message, as asked for by hand_over: to be appended to its target. The view is valid during step().
struct handed_over {
    subscription_id subscription{};
    std::uint32_t partition = 0;
    sequence at;
    std::span<const std::uint32_t> record_ends;
};

/// Entries as asked for by load_entries: the first ends at or after `from`. Empty when there is none.
struct loaded_entries { partition_id partition; sequence from; std::vector<shared_index> entries; };

/// Rows as asked for by load_blocks; `complete` when no further row follows them.
struct loaded_blocks {
    subscription_id subscription{};
    std::uint32_t partition = 0;
    std::uint64_t from = 0;
    std::vector<settled_set::block_row> rows;
    bool complete = false;
};

/// A load failed as it may not the next time; it is asked for again in a while.
struct read_failed { partition_id partition; sequence from; error why; };

/// A load of blocks failed: for good when it is corruption, then its subscription is set aside; else it is asked for again in a while.
struct scan_failed { subscription_id subscription{}; std::uint32_t partition = 0; std::uint64_t from = 0; error why; };

/// Messages first..last are damaged in the store and lost. `load`: that from there has ended with this finding and brought nothing else.
struct damaged { partition_id partition; sequence first; sequence last; std::optional<sequence> load; };

/// A delivery whose messages turned out to be damaged: it never left. `bytes` of credit go back with it. Behind the `damaged` that names them.
struct undelivered { session_id session{}; consumer_id consumer{}; lease_range range; std::uint64_t bytes = 0; };

/// Nothing happened but time: a deadline has come.
struct tick {};

// ---- what another shard has done, durably; where there is an origin, it is answered when it is known here ----

struct learn_topic { origin from; topic_row row; };  // a new one, or its settings have changed
struct learn_subscription { origin from; subscription_row row; };
struct forget_topic { origin from; std::string name; };
struct forget_subscription { origin from; std::string topic; std::string name; };

/// A producer was opened; answered with its positions here.
struct learn_producer { origin from; producer_id id{}; std::string name; std::uint32_t epoch = 0; std::uint64_t incarnation = 0; };

/// It has been idle: every other shard forgets it before the first does. Errors: in_use, and then the first is told with note_use.
struct forget_producer { origin from; producer_id id{}; };
struct note_use { producer_id id{}; };

/// The envelope of a message that died in another shard, for a topic of this one. The view is valid during step().
struct arrive { origin from; dead_message what; partition_id target; std::span<const std::uint32_t> record_ends; };

/// What became of one that died here: its envelope is in its target, or was refused.
struct moved { dead_message what; error refused; };

}  // namespace input

using any_input = std::variant<input::list_metadata, input::create_topic, input::update_topic, input::describe_topic, input::list_topics,
                               input::delete_topic, input::purge_topic, input::create_subscription, input::describe_subscription,
                               input::list_subscriptions, input::update_subscription, input::delete_subscription, input::publish, input::open_producer, input::subscribe, input::unsubscribe,
                               input::credit, input::start, input::ack, input::nack, input::reject, input::release, input::extend, input::peek,
                               input::handed_over, input::session_lost, input::committed, input::loaded_entries,
                               input::loaded_blocks, input::read_failed, input::scan_failed, input::damaged, input::undelivered, input::tick, input::learn_topic,
                               input::learn_subscription, input::forget_topic, input::forget_subscription, input::learn_producer, input::forget_producer,
                               input::note_use, input::arrive, input::moved>;

}  // namespace millrace::core

// The requests that are one question and one answer, as values, and their way to and from the wire.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "client/event.hpp"
#include "proto/frame.hpp"

namespace millrace::client {

struct create_topic { std::string name; topic_settings settings; };
struct update_topic { std::string name; topic_settings settings; };
struct describe_topic { std::string name; };
struct list_topics { std::string after; std::uint32_t limit = 0; };
struct delete_topic { std::string name; bool force = false; };
struct purge_topic { std::string name; };
struct create_subscription { std::string topic; std::string name; subscription_settings settings; start_position start; };
struct describe_subscription { std::string topic; std::string name; };
struct list_subscriptions { std::string topic; };
struct update_subscription { std::string topic; std::string name; subscription_settings settings; };
struct delete_subscription { std::string topic; std::string name; bool force = false; };
struct peek { std::string topic; peek_options options; };

using request = std::variant<create_topic, update_topic, describe_topic, list_topics, delete_topic, purge_topic, create_subscription,
                             describe_subscription, list_subscriptions, update_subscription, delete_subscription, peek>;

/// Appends `asked` as a frame with this id to `out`. Clears `builder`.
void append_request(flatbuffers::FlatBufferBuilder& builder, std::uint64_t id, const request& asked, std::vector<std::byte>& out);

/// The answer in a frame, when it is one that some request takes; nothing when it is no answer. Errors: a record that does not verify.
result<std::optional<answer>> read_answer(const proto::frame& frame);

/// A refusal as the broker said it.
error read_failure(const wire::Failed& failed);

/// Decodes the runs of a Deliver or Peeked frame. `size` gets the bytes of each record when it is wanted.
/// Errors: malformed_frame when runs and body do not fit, else as proto::decode_record.
error read_runs(const flatbuffers::Vector<const wire::Run*>* runs, std::span<const std::byte> body, std::vector<delivery>& out,
                std::vector<std::uint32_t>* sizes);

}  // namespace millrace::client

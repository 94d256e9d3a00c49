#include "examples/photo_stack/relay/outbox_relay.hpp"

#include <spdlog/spdlog.h>

#include <stdexcept>

#include "examples/photo_stack/relay/outbox_rows.hpp"
#include "examples/photo_stack/relay/relays_watch.hpp"
#include "examples/photo_stack/spans/message_trace.hpp"
#include "millrace/blocking_client.hpp"

namespace photo_relay {
namespace {

namespace client = millrace::client;

constexpr int claim_rows_max = 100;
constexpr auto look_again = std::chrono::seconds{1};  // also without a notification, which is nothing but a hint
constexpr auto still_for_max = std::chrono::seconds{10};

/// The number of the last batch that the broker has taken from this producer's incarnations.
std::uint64_t last_taken(client::blocking_client& broker) {
    const auto topic = broker.describe_topic(photo_stack::uploaded_topic);
    if (topic.partitions.size() != 1) throw std::runtime_error("topic '" + topic.name + "' has several partitions, and the outbox one sequence of numbers");
    for (const auto& p : broker.broker().producer_positions)
        if (p.topic == topic.id) return p.batch;
    return 0;
}

/// A message is a batch of its own here, as each is published when the one before it is answered: so a row has its number before it is published.
void publish(client::blocking_client& broker, const claimed_photo& row) {
    photo_spans::span span;
    if (const auto request = photo_spans::parse_traceparent(row.traceparent)) span.continue_trace(*request);
    millrace::message m{.key = std::to_string(row.photo.photo), .payload = row.photo.to_text()};
    photo_spans::set_trace(m, span.context());
    const auto taken = broker.publish(photo_stack::uploaded_topic, std::move(m));
    if (taken.batch != row.batch)
        throw std::logic_error("photo " + std::to_string(row.photo.photo) + " was published as batch " + std::to_string(taken.batch) + " instead of " + std::to_string(row.batch));
    spdlog::info("{}", span.line("publish " + photo_stack::uploaded_topic, {{"photo", std::to_string(row.photo.photo)}, {"sequence", std::to_string(taken.sequence.value)}}));
}

}  // namespace

void relay_outbox(const outbox_settings& settings, const std::atomic<bool>& ending) {
    client::blocking_client broker(settings.broker);
    const auto epoch = broker.broker().producer_epoch;
    auto last = last_taken(broker);
    outbox_rows rows(settings.database, settings.relay, epoch);
    rows.settle_claims(last);
    spdlog::info("relaying as incarnation {}; batch {} was the last that the broker has taken", epoch, last);
    relays_watch others;
    while (!ending) {
        for (const auto& relay : others.still(rows.beats_of_others(), std::chrono::steady_clock::now(), still_for_max))
            spdlog::warn("{} rows of '{}', which has stood still for {} s, are published here", rows.take_over(relay), relay, still_for_max.count());
        const auto claimed = rows.claim(last + 1, claim_rows_max);
        if (claimed.empty()) {
            rows.wait(look_again);
            continue;
        }
        for (const auto& row : claimed) publish(broker, row);
        last = claimed.back().batch;
        rows.mark_published(claimed);
    }
}

}  // namespace photo_relay

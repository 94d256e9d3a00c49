#include "millrace/error.hpp"

#include "millrace/message.hpp"

namespace millrace {
namespace {

struct sentence {
    errc code;
    const char* name;
    const char* text;
};

constexpr sentence sentences[] = {
    {errc::ok, "ok", "no error"},
    {errc::malformed_frame, "malformed_frame", "the bytes are not a frame of this protocol"},
    {errc::frame_too_large, "frame_too_large", "a frame is longer than the receiver takes"},
    {errc::unsupported_version, "unsupported_version", "the two sides share no protocol version"},
    {errc::unknown_request, "unknown_request", "this side does not take such a message"},
    {errc::hello_expected, "hello_expected", "a connection begins with a hello, in time"},
    {errc::credit_exceeded, "credit_exceeded", "the peer sent more than its credit allowed"},
    {errc::slow_reader, "slow_reader", "the peer does not read what it asked for"},
    {errc::idle_timeout, "idle_timeout", "nothing was heard from the peer for the idle timeout"},
    {errc::too_many_sessions, "too_many_sessions", "the broker holds as many connections as it may"},
    {errc::connection_lost, "connection_lost", "the connection ended before the answer came"},
    {errc::shutting_down, "shutting_down", "the broker is draining and takes no new work"},
    {errc::canceled, "canceled", "the operation was given up by its caller"},
    {errc::timed_out, "timed_out", "the operation did not finish in its time"},
    {errc::unauthorized, "unauthorized", "the token is missing or unknown"},
    {errc::forbidden, "forbidden", "the token lacks the right for this"},
    {errc::malformed_record, "malformed_record", "the bytes are not a record"},
    {errc::checksum_mismatch, "checksum_mismatch", "a record does not match its checksum"},
    {errc::message_too_large, "message_too_large", "a message is larger than the limit; send a reference to its content instead"},
    {errc::batch_too_large, "batch_too_large", "a batch is larger than the limit"},
    {errc::too_many_headers, "too_many_headers", "a message has more headers than the limit"},
    {errc::unknown_compression, "unknown_compression", "a payload is compressed by an unknown method"},
    {errc::invalid_name, "invalid_name", "a name has 1 to 255 characters of A-Z a-z 0-9 . _ -"},
    {errc::invalid_argument, "invalid_argument", "a value is outside its range"},
    {errc::no_such_topic, "no_such_topic", "there is no such topic"},
    {errc::topic_exists, "topic_exists", "there is a topic of that name already"},
    {errc::no_such_partition, "no_such_partition", "the topic has no such partition"},
    {errc::no_such_subscription, "no_such_subscription", "the topic has no such subscription"},
    {errc::subscription_exists, "subscription_exists", "the topic has a subscription of that name already"},
    {errc::no_such_consumer, "no_such_consumer", "the session has no consumer of that number"},
    {errc::consumer_exists, "consumer_exists", "the session has a consumer of that number already"},
    {errc::in_use, "in_use", "it is in use"},
    {errc::backlog_full, "backlog_full", "the topic is at its limit of unsettled messages"},
    {errc::durability_unavailable, "durability_unavailable", "the store cannot give the durability asked for"},
    {errc::disk_full, "disk_full", "the disk is below the reserve; publishing reopens when it drains"},
    {errc::not_owner, "not_owner", "another broker owns the partition"},
    {errc::producer_fenced, "producer_fenced", "a later incarnation of this producer has been opened"},
    {errc::batch_mismatch, "batch_mismatch", "the batch number was used for other messages"},
    {errc::batch_gap, "batch_gap", "the batch number does not follow the last one taken"},
    {errc::no_such_producer, "no_such_producer", "the producer is not open"},
    {errc::lease_lost, "lease_lost", "the message was given to somebody else"},
    {errc::lease_limit, "lease_limit", "a lease cannot be renewed any longer"},
    {errc::storage_failure, "storage_failure", "the store failed"},
    {errc::corruption, "corruption", "stored bytes are damaged"},
    {errc::fenced, "fenced", "another writer has taken the shard"},
    {errc::outcome_unknown, "outcome_unknown", "it may or may not have happened; send it again"},
    {errc::store_in_use, "store_in_use", "another broker has the store open"},
    {errc::sync_failed, "sync_failed", "the disk did not confirm what was written"},
    {errc::inconsistent, "inconsistent", "what is stored of a subscription contradicts itself"},
};

const sentence* find(errc code) noexcept {
    for (const auto& s : sentences)
        if (s.code == code) return &s;
    return nullptr;
}

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "millrace"; }
    std::string message(int value) const override {
        const auto* s = find(static_cast<errc>(value));
        return s ? s->text : "unknown error " + std::to_string(value);
    }
};

}  // namespace

const std::error_category& error_category() noexcept {
    static const category instance;
    return instance;
}

const char* name_of(errc code) noexcept {
    const auto* s = find(code);
    return s ? s->name : "unknown";
}

std::string to_string(const error& refused) {
    return std::string(name_of(refused.code)) + ": " +
           (refused.what.empty() ? error_category().message(static_cast<int>(refused.code)) : refused.what);
}

const char* name_of(durability level) noexcept {
    switch (level) {
        case durability::memory: return "memory";
        case durability::buffered: return "buffered";
        case durability::disk: return "disk";
        case durability::replicated: return "replicated";
    }
    return "unknown";
}

}  // namespace millrace

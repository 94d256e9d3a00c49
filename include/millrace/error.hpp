// Every way Millrace can say no, on the wire, in the client library and in the broker: one code, one sentence.
// The numbers travel on the wire and never change meaning; new codes are added at the end of their block.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

namespace millrace {

enum class errc : std::uint16_t {
    ok = 0,

    // the conversation (1..)
    malformed_frame = 1,      // the bytes are not a frame of this protocol; the connection is closed
    frame_too_large = 2,      // a frame is longer than the receiver's limit; the connection is closed
    unsupported_version = 3,  // the two sides share no protocol version; the connection is closed
    unknown_request = 4,      // a well-formed frame whose message this side does not know or does not take
    hello_expected = 5,       // the first frame was not a hello, or no hello came in time
    credit_exceeded = 6,      // the peer sent more than its credit allowed; the connection is closed
    slow_reader = 7,          // the peer does not read its answers; the connection is closed
    idle_timeout = 8,         // nothing was heard from the peer for the idle timeout
    too_many_sessions = 9,    // the broker holds as many connections as it may
    connection_lost = 10,     // the connection ended before the answer came
    shutting_down = 11,       // the broker is draining and takes no new work
    canceled = 12,            // the caller gave the operation up
    timed_out = 13,           // the operation did not finish in the time it was given
    unauthorized = 14,        // the token is missing or nobody's; the connection is closed
    forbidden = 15,           // the token is known and lacks the right that the request needs

    // messages (30..)
    malformed_record = 30,    // a record is not a verified record
    checksum_mismatch = 31,   // a record's bytes do not match its CRC-32C
    message_too_large = 32,   // a message is larger than the limit; send a reference to it (claim check)
    batch_too_large = 33,     // a batch has more records or bytes than the limit
    too_many_headers = 34,    // a message has more than 64 headers
    unknown_compression = 35, // a payload is compressed with a method this side does not know

    // names and arguments (50..)
    invalid_name = 50,        // a name is empty, too long or has characters outside [A-Za-z0-9._-]
    invalid_argument = 51,    // a value is outside its range
    no_such_topic = 52,
    topic_exists = 53,
    no_such_partition = 54,
    no_such_subscription = 55,
    subscription_exists = 56,
    no_such_consumer = 57,    // this session has no consumer of that number
    consumer_exists = 58,     // this session has a consumer of that number already
    in_use = 59,              // sessions are attached, or another topic points here; use force

    // publishing (70..)
    backlog_full = 70,            // the topic's limit on unsettled messages is reached and its policy is refuse
    durability_unavailable = 71,  // the store cannot give the durability that was asked for
    disk_full = 72,               // the store is below its reserve; publishing reopens when it drains
    not_owner = 73,               // another broker owns the partition; the answer names it
    producer_fenced = 74,         // a later incarnation of this named producer has been opened
    batch_mismatch = 75,          // a batch number was used before for other messages
    batch_gap = 76,               // a batch number does not follow the last one taken
    no_such_producer = 77,        // this broker has not opened that producer, or has forgotten it

    // leases (90..)
    lease_lost = 90,          // somebody else was given the message
    lease_limit = 91,         // a lease is as old as a lease may get, and is not renewed further

    // storage (110..)
    storage_failure = 110,    // the store refused or failed; the text has its own words
    corruption = 111,         // stored bytes do not match their checksum
    fenced = 112,             // another writer opened this shard with a larger fencing epoch
    outcome_unknown = 113,    // the commit failed half way: it may or may not have happened; send again
    store_in_use = 114,       // another broker has this directory open
    sync_failed = 115,        // the disk did not confirm what was written; the broker ends, for nothing after that can be promised
    inconsistent = 116,       // what is stored of a subscription contradicts itself: it is set aside until `millrace check DIR --repair`
};

/// The category of every errc; its message() is one sentence per code.
const std::error_category& error_category() noexcept;

/// The code's name as it is spelt above ("no_such_topic"), for logs, --json and metrics. Static storage.
const char* name_of(errc code) noexcept;

inline std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), error_category()};
}

/// A refusal: the code, and what was wrong, with which value, and what to do. `what` is empty when the code says it all.
struct error {
    errc code = errc::ok;
    std::string what;

    explicit operator bool() const noexcept { return code != errc::ok; }
    bool operator==(const error&) const = default;
};

/// "no_such_topic: there is no topic 'photos' (create it with: millrace topic create photos)"
std::string to_string(const error& refused);

/// A value, or the error that stands in its place.
template <class T>
class [[nodiscard]] result {
public:
    result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
    result(error refused) : content_(std::in_place_index<1>, std::move(refused)) {}

    explicit operator bool() const noexcept { return content_.index() == 0; }
    T& value() { return std::get<0>(content_); }
    const T& value() const { return std::get<0>(content_); }
    const error& failure() const { return std::get<1>(content_); }

private:
    std::variant<T, error> content_;
};

}  // namespace millrace

template <>
struct std::is_error_code_enum<millrace::errc> : std::true_type {};

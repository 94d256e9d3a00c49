#include "tests/sim/coverage.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace millrace::sim {
namespace {

/// As the inputs stand in core::any_input; those that no session sends have no name.
constexpr std::array<std::string_view, std::variant_size_v<core::any_input>> kind_names{
    "metadata",      "create_topic",        "update_topic",  "describe_topic", "list_topics", "delete_topic", "purge_topic", "create_subscription",
    "describe_subscription", "list_subscriptions", "update_subscription", "delete_subscription", "publish", "open_producer", "subscribe", "unsubscribe",
    "credit",        "start",               "ack",           "nack",           "reject",      "release",      "extend",      "peek",
    "",              "",        "",              "",               "",            "",             "",            "",
    "",              "",        "",              "",               "",            "",             "",            "",
    "",              "",        ""};

constexpr std::array<const char*, static_cast<std::size_t>(broker_state::count)> broker_names{"just started", "at rest", "writing", "writing all", "disk full"};
constexpr std::array<const char*, static_cast<std::size_t>(session_state::count)> session_names{"fresh", "returned", "consuming", "named"};

/// How a request may be answered by a broker that is told what the protocol allows.
const std::map<std::string_view, std::set<errc>>& possible_answers() {
    using enum errc;
    static const std::map<std::string_view, std::set<errc>> all{
        {"metadata", {ok}},
        {"create_topic", {ok, topic_exists, invalid_name, invalid_argument, disk_full}},
        {"update_topic", {ok, no_such_topic, invalid_argument}},
        {"describe_topic", {ok, no_such_topic}},
        {"list_topics", {ok}},
        {"delete_topic", {ok, no_such_topic, in_use}},
        {"purge_topic", {ok, no_such_topic}},
        {"create_subscription", {ok, no_such_topic, subscription_exists, invalid_name, invalid_argument, disk_full}},
        {"describe_subscription", {ok, no_such_topic, no_such_subscription}},
        {"list_subscriptions", {ok, no_such_topic}},
        {"update_subscription", {ok, no_such_topic, no_such_subscription, invalid_argument}},
        {"delete_subscription", {ok, no_such_topic, no_such_subscription, in_use}},
        {"publish", {ok, no_such_topic, no_such_partition, durability_unavailable, no_such_producer, producer_fenced, batch_mismatch, batch_gap, backlog_full,
                     disk_full, batch_too_large, invalid_argument, malformed_record, checksum_mismatch}},
        {"open_producer", {ok, producer_fenced, invalid_name}},
        {"subscribe", {ok, no_such_topic, no_such_subscription, consumer_exists, inconsistent}},
        {"unsubscribe", {ok, no_such_consumer}},
        {"ack", {ok, no_such_consumer, no_such_partition, invalid_argument, inconsistent}},
        {"nack", {ok, no_such_consumer, no_such_partition, invalid_argument, inconsistent}},
        {"reject", {ok, no_such_consumer, no_such_partition, invalid_argument, inconsistent}},
        {"release", {ok, no_such_consumer, no_such_partition, invalid_argument, inconsistent}},
        {"extend", {ok, no_such_consumer, no_such_partition, invalid_argument, inconsistent}},
        {"peek", {ok, no_such_topic, no_such_partition}}};
    return all;
}

const std::set<errc> possible_goodbyes{errc::malformed_frame, errc::frame_too_large, errc::unsupported_version, errc::hello_expected, errc::credit_exceeded,
                                       errc::slow_reader,     errc::idle_timeout,    errc::connection_lost};

/// A row of counts, and the names of those that are 0.
template <class Counts, class Names>
std::string print_row(std::FILE* out, std::string_view kind, const Counts& counts, const Names& names) {
    std::string never;
    std::fprintf(out, "  %-22.*s", static_cast<int>(kind.size()), kind.data());
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const auto n = counts[i].load();
        std::fprintf(out, " %12llu", static_cast<unsigned long long>(n));
        if (n == 0) never += "    " + std::string(kind) + " × " + names[i] + "\n";
    }
    std::fputc('\n', out);
    return never;
}

template <class Rows, class Names>
void print_table(std::FILE* out, const char* title, const Rows& rows, const Names& names) {
    std::fprintf(out, "%-24s", title);
    for (const auto* name : names) std::fprintf(out, " %12s", name);
    std::fputc('\n', out);
    std::string never;
    for (std::size_t k = 0; k < rows.size(); ++k)
        if (!kind_names[k].empty()) never += print_row(out, kind_names[k], rows[k], names);
    std::fprintf(out, "  never seen:\n%s", never.empty() ? "    nothing\n" : never.c_str());
}

}  // namespace

void coverage::met(kind request, broker_state broker, session_state session) {
    ++by_broker_.at(request)[static_cast<std::size_t>(broker)];
    ++by_session_.at(request)[static_cast<std::size_t>(session)];
}

void coverage::answered(kind request, errc how) {
    ++answers_.at(request).at(static_cast<std::size_t>(how));
}

void coverage::print(std::FILE* out) const {
    print_table(out, "request × broker", by_broker_, broker_names);
    print_table(out, "request × session", by_session_, session_names);
    print_answers(out);
}

void coverage::print_answers(std::FILE* out) const {
    std::fprintf(out, "request × answer\n");
    std::string never;
    for (std::size_t k = 0; k < kinds; ++k) {
        const auto possible = possible_answers().find(kind_names[k]);
        if (possible == possible_answers().end()) continue;
        std::fprintf(out, "  %-22.*s", static_cast<int>(kind_names[k].size()), kind_names[k].data());
        for (std::size_t code = 0; code < codes; ++code) {
            const auto n = answers_[k][code].load();
            if (n > 0) std::fprintf(out, " %s %llu", name_of(static_cast<errc>(code)), static_cast<unsigned long long>(n));
            if (n == 0 && possible->second.contains(static_cast<errc>(code))) never += "    " + std::string(kind_names[k]) + " × " + name_of(static_cast<errc>(code)) + "\n";
        }
        std::fputc('\n', out);
    }
    std::fprintf(out, "  %-22s", "goodbye");
    for (std::size_t code = 0; code < codes; ++code) {
        const auto n = goodbyes_[code].load();
        if (n > 0) std::fprintf(out, " %s %llu", name_of(static_cast<errc>(code)), static_cast<unsigned long long>(n));
        if (n == 0 && possible_goodbyes.contains(static_cast<errc>(code))) never += std::string("    goodbye × ") + name_of(static_cast<errc>(code)) + "\n";
    }
    std::fprintf(out, "\n  never seen:\n%s", never.empty() ? "    nothing\n" : never.c_str());
}

}  // namespace millrace::sim

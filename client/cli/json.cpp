#include "client/cli/json.hpp"

namespace millrace::cli {

std::string json_of(const client::delivery& d) {
    json_object o;
    o.add("partition", d.partition).add("sequence", d.sequence.value);
    if (d.attempt > 0) o.add("attempt", d.attempt);
    o.add("appended_at", std::string_view(format_time(d.appended_at)));
    if (!d.message.key.empty()) o.add_bytes("key", d.message.key);
    if (!d.message.headers.empty()) {
        std::string headers = "[";
        for (const auto& h : d.message.headers) {
            if (headers.size() > 1) headers += ',';
            headers += json_object().add_bytes("name", h.name).add_bytes("value", h.value).text();
        }
        o.add_raw("headers", headers + "]");
    }
    if (d.origin) {
        const auto& from = *d.origin;
        o.add_raw("origin", json_object().add("topic", from.topic).add("subscription", from.subscription).add("partition", from.partition)
                                .add("sequence", from.sequence.value).add("failures", from.failures).add("reason", from.reason).text());
    }
    return o.add_bytes("payload", d.message.payload).text();
}

}  // namespace millrace::cli

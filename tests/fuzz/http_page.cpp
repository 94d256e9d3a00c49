// A request to admin HTTP, as its head was read: method, target and Authorization, one to a line. (Beast reads the head; what it means is ours.)
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/src.hpp>
#include <set>

#include "broker/admin/pages.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

namespace json = boost::json;
using core::topic_changes;
namespace api = core::input;

/// A broker that stands still: 12 topics of 1 to 3 partitions, of which t3 has subscriptions, and 5 sessions.
class still_life : public admin::view {
public:
    still_life() : shard_(std::move(core::shard::recover({}, {}).value())) {
        for (std::uint32_t i = 0; i < 12; ++i) {
            topic_changes settings;
            settings.partitions = 1 + i % 3;
            step(api::create_topic{{}, "t" + std::to_string(i), settings});
        }
        for (const auto* name : {"a", "b.b", "c-c"}) step(api::create_subscription{{}, "t3", name, {}, {}});
    }

    error not_ready() const override { return {}; }
    admin::broker_state state() const override { return {}; }
    std::uint32_t shards() const override { return 1; }
    bool see(std::uint32_t, const std::function<void(const core::shard&)>& look) const override {
        look(shard_);
        return true;
    }
    std::vector<admin::session_state> sessions(std::uint64_t after, std::size_t limit) const override {
        std::vector<admin::session_state> found;
        for (auto id = after; id < 5 && found.size() < limit; ++id) found.push_back({id + 1, "client\xff", "127.0.0.1:1", {}});
        return found;
    }

private:
    void step(const core::any_input& in) {
        core::effects out;
        shard_.step({}, in, out);
        const auto group = shard_.close_group();
        shard_.step({}, api::committed{group.number}, out);
    }

    core::shard shard_;
};

struct site {
    still_life broker;
    access_list access = access_list::parse("web publish web-token-000000000\nroot admin root-token-00000000\n", "tokens").value();
    admin::pages open{broker};
    admin::pages guarded{broker, &access};
    boost::asio::io_context io;
};

boost::asio::awaitable<void> ask(admin::pages& pages, admin::request asked, admin::page& out) { out = co_await pages.get(std::move(asked)); }

admin::page get(site& s, admin::pages& pages, const admin::request& asked) {
    admin::page answer;
    answer.status = 0;
    s.io.restart();
    boost::asio::co_spawn(s.io, ask(pages, asked, answer), boost::asio::detached);
    s.io.run();
    must(answer.status != 0, "every request is answered");
    return answer;
}

json::object object_of(const admin::page& answer) {
    json::error_code failed;
    const auto value = json::parse(answer.body, failed);
    must(!failed && value.is_object() && answer.body.back() == '\n', "an answer is a JSON object and a newline", answer.body);
    return value.as_object();
}

std::string name_of(const json::value& listed) {
    const auto& one = listed.as_object();
    if (const auto* name = one.if_contains("name")) return std::string(name->as_string());
    return std::to_string(one.contains("session") ? one.at("session").to_number<std::uint64_t>() : one.at("id").to_number<std::uint64_t>());
}

/// Whoever follows `after` sees everything behind where he began, once and in order.
void follow(site& s, const std::string& path, const json::object& first) {
    const auto what = path.substr(path.rfind('/') + 1);
    const auto limit = std::max<std::size_t>(first.at(what).as_array().size(), 1);
    std::set<std::string> seen;
    auto part = first;
    for (int turns = 0; turns < 40; ++turns) {
        const auto& listed = part.at(what).as_array();
        must(listed.size() <= limit, "no more is listed than was asked for");
        for (const auto& one : listed) must(seen.insert(name_of(one)).second, "everything is listed once", name_of(one));
        if (!part.at("more").as_bool()) return;
        must(!listed.empty(), "more is promised behind something");
        const auto next = get(s, s.open, {"GET", path + "?limit=" + std::to_string(limit) + "&after=" + name_of(listed.back()), ""});
        must(next.status == 200, "a list goes on");
        part = object_of(next);
    }
    must(false, "a list ends");
}

}  // namespace

void http_page(input in) {
    static site s;
    const auto text = text_of(in);
    const auto first = text.find('\n');
    const auto second = first == std::string_view::npos ? first : text.find('\n', first + 1);
    if (second == std::string_view::npos) return;
    const admin::request asked{std::string(text.substr(0, first)), std::string(text.substr(first + 1, second - first - 1)), std::string(text.substr(second + 1))};
    const auto path = asked.target.substr(0, asked.target.find('?'));
    if (path == "/metrics") return;  // depends on nothing in the request, and has a thread of its own

    const auto answer = get(s, s.open, asked);
    const auto content = object_of(answer);
    must(std::set<unsigned>{200, 400, 404, 405, 503}.contains(answer.status), "a status means something", std::to_string(answer.status));
    must(answer.status == 200 || (content.contains("error") && (content.contains("message") || content.contains("message_base64"))), "who refuses says why");
    must(get(s, s.open, asked).body == answer.body, "the same question has the same answer");
    if (answer.status == 200 && content.contains("more")) follow(s, path, content);

    const auto guarded = get(s, s.guarded, asked);
    const auto is_health = path == "/healthz" || path == "/readyz";
    const auto is_root = asked.authorization.size() > 7 && asked.authorization.substr(7) == "root-token-00000000";
    must(is_health || is_root || guarded.status == 401 || guarded.status == 403, "a stranger is told nothing", asked.authorization);
    must(!(is_health || guarded.status == answer.status) || guarded.body == answer.body, "whoever may look sees the same");
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(http_page)

#include "broker/admin/pages.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>
#include <charconv>

#include "broker/admin/descriptions.hpp"
#include "proto/json.hpp"

namespace millrace::admin {

namespace asio = boost::asio;

namespace {

/// The loop does so much for a page before others have their turn: a fraction of a millisecond.
constexpr std::size_t partitions_a_turn = 500;
constexpr std::size_t names_a_turn = 100;
constexpr std::size_t text_a_turn = 64u << 10;

/// A list ends at this size, whatever was asked for, and says that there is more.
constexpr std::size_t list_bytes_max = 4u << 20;
constexpr std::size_t list_limit_max = 1000;

/// More scrapes at a time are refused: each holds a copy of all figures.
constexpr std::size_t scrapes_max = 4;

constexpr auto nothing_here = "ask for /healthz, /readyz, /metrics, /v1/broker, /v1/topics, /v1/topics/NAME, /v1/topics/NAME/subscriptions, "
                              "/v1/topics/NAME/subscriptions/NAME or /v1/sessions";

page json(std::string text) {
    return {200, std::move(text) + "\n"};
}

unsigned status_of(errc code) {
    switch (code) {
        case errc::invalid_argument: return 400;
        case errc::unauthorized: return 401;
        case errc::forbidden: return 403;
        case errc::no_such_topic:
        case errc::no_such_subscription: return 404;
        default: return 503;  // the broker is not in a state to answer
    }
}

page refusal(const error& why) {
    auto refused = failure(status_of(why.code), name_of(why.code), why.what);
    if (why.code == errc::unauthorized) refused.headers.emplace_back("WWW-Authenticate", "Bearer");
    return refused;
}

/// The token of `Bearer TOKEN`; empty when it is none.
std::string_view bearer_token(std::string_view authorization) {
    constexpr std::string_view scheme = "bearer ";
    const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
    const auto is_bearer = authorization.size() > scheme.size() && std::equal(scheme.begin(), scheme.end(), authorization.begin(), [&](char s, char a) { return same(a, s); });
    return is_bearer ? authorization.substr(scheme.size()) : std::string_view();
}

asio::awaitable<void> turn() {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

asio::awaitable<std::string> written_down(snapshot taken) {
    co_return exposition(taken);
}

std::vector<std::string> words_of(const std::string& path) {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < path.size();) {
        const auto end = std::min(path.find('/', at + 1), path.size());
        words.push_back(path.substr(at + 1, end - at - 1));
        at = end;
    }
    return words;
}

/// {"topics":[…],"more":false} while it grows.
class list {
public:
    explicit list(std::string_view name) : text_("{" + json_string(name) + ":[") {}

    void add(const std::string& one) {
        if (text_.back() != '[') text_ += ',';
        text_ += one;
        ++count_;
    }

    std::size_t count() const { return count_; }
    bool is_full() const { return text_.size() >= list_bytes_max; }

    /// Whether it has grown enough since the last time for others to have a turn.
    bool is_due() {
        if (text_.size() - turned_at_ < text_a_turn) return false;
        turned_at_ = text_.size();
        return true;
    }

    page ended(bool more) { return json(std::move(text_) + "],\"more\":" + (more ? "true}" : "false}")); }

private:
    std::string text_;
    std::size_t count_ = 0;
    std::size_t turned_at_ = 0;
};

}  // namespace

page failure(unsigned status, std::string_view name, std::string_view what) {
    return {status, json_object().add("error", name).add_bytes("message", what).text() + "\n"};
}

asio::awaitable<page> pages::get(request asked) {
    const auto question = asked.target.find('?');
    const auto path = asked.target.substr(0, question);
    if (const auto why = refuse_stranger(asked, path)) co_return refusal(why);
    if (asked.method != "GET" && asked.method != "HEAD") {
        auto refused = failure(405, "method_not_allowed", asked.method + " is not taken: look with GET or HEAD, and change things with the millrace command");
        refused.headers.emplace_back("Allow", "GET, HEAD");
        co_return refused;
    }
    const auto query = question == std::string::npos ? std::string() : asked.target.substr(question + 1);
    if (path == "/healthz") co_return health();
    if (path == "/readyz") co_return readiness();
    if (path == "/metrics") co_return co_await metrics();
    if (path.starts_with("/v1/")) co_return co_await beneath_v1(path, query);
    co_return failure(404, "not_found", "there is nothing at " + path + ": " + nothing_here);
}

asio::awaitable<page> pages::beneath_v1(std::string path, std::string query) const {
    const auto words = words_of(path);
    const auto wanted = read_part(query);
    if (!wanted) co_return refusal(wanted.failure());
    if (words.size() == 2 && words[1] == "broker") co_return broker();
    if (words.size() == 2 && words[1] == "sessions") co_return co_await sessions(wanted.value());
    if (words.size() == 2 && words[1] == "topics") co_return co_await topics(wanted.value());
    if (words.size() == 3 && words[1] == "topics") co_return topic(words[2]);
    if (words.size() == 4 && words[1] == "topics" && words[3] == "subscriptions") co_return co_await subscriptions(words[2], wanted.value());
    if (words.size() == 5 && words[1] == "topics" && words[3] == "subscriptions") co_return subscription(words[2], words[4]);
    co_return failure(404, "not_found", "there is nothing at " + path + ": " + nothing_here);
}

/// after=NAME and limit=N, in any order.
result<pages::part> pages::read_part(const std::string& query) {
    part wanted;
    for (std::size_t at = 0; at < query.size();) {
        const auto end = std::min(query.find('&', at), query.size());
        const auto one = query.substr(at, end - at);
        at = end + 1;
        if (one.starts_with("after=")) {
            wanted.after = one.substr(6);
            continue;
        }
        const auto* last = one.data() + one.size();
        const auto is_limit = one.starts_with("limit=");
        const auto [rest, bad] = std::from_chars(one.data() + (is_limit ? 6 : 0), last, wanted.limit);
        if (!is_limit || bad != std::errc{} || rest != last || wanted.limit < 1 || wanted.limit > list_limit_max)
            return error{errc::invalid_argument, "the query has '" + one + "': give after=NAME, and limit=N from 1 to " + std::to_string(list_limit_max)};
    }
    return wanted;
}

error pages::refuse_stranger(const request& asked, const std::string& path) const {
    if (!access_ || path == "/healthz" || path == "/readyz") return {};
    const auto token = bearer_token(asked.authorization);
    const auto who = access_->find(token);
    if (!who) return unknown_token(token);
    if (!who->may.allow(right::admin)) return missing_right(*who, right::admin, path);
    return {};
}

/// Whoever reads this knows that the process lives and that its loop turns: nothing else is claimed.
page pages::health() const {
    return json("{\"status\":\"alive\"}");
}

page pages::readiness() const {
    if (const auto why = broker_.not_ready()) return failure(503, name_of(why.code), why.what);
    return json("{\"status\":\"ready\"}");
}

page pages::broker() const {
    return json(json_of(broker_.state()));
}

// ---- metrics ----

asio::awaitable<page> pages::metrics() {
    if (scrapes_ >= scrapes_max)
        co_return failure(503, "busy", std::to_string(scrapes_max) + " scrapes are under way: ask again, and less often");
    ++scrapes_;
    auto taken = co_await take_snapshot();
    page written;
    written.type = "text/plain; version=0.0.4; charset=utf-8";
    written.body = co_await asio::co_spawn(formatter_, written_down(std::move(taken)), asio::use_awaitable);
    --scrapes_;
    co_return written;
}

asio::awaitable<snapshot> pages::take_snapshot() const {
    snapshot taken;
    for (std::uint32_t shard = 0; shard < broker_.shards(); ++shard) {
        std::vector<core::topic_figures> more;
        core::topic_id last{};
        while (taken.topics.size() < topics_with_series_max && broker_.see(shard, [&](const core::shard& s) { more = s.figures_after(last, partitions_a_turn); })) {
            if (more.empty()) break;
            last = more.back().id;
            taken.topics.insert(taken.topics.end(), more.begin(), more.end());
            co_await turn();
        }
        broker_.see(shard, [&](const core::shard& s) {
            taken.all_topics = s.topics();  // the same in all of them, and so are the subscriptions
            taken.all_subscriptions = s.subscriptions();
            taken.consumers += s.consumers();
        });
    }
    if (taken.topics.size() > topics_with_series_max) taken.topics.resize(topics_with_series_max);
    taken.state = broker_.state();
    co_return taken;
}

// ---- what there is ----

std::uint32_t pages::shard_of(const std::string& topic) const {
    std::uint32_t shard = 0;
    if (broker_.shards() == 1) return shard;
    broker_.see(0, [&](const core::shard& s) {
        if (const auto id = s.topic_named(topic)) shard = core::shard_place{0, broker_.shards()}.of(*id);
    });
    return shard;
}

namespace {

template <class Look>
page show(const view& broker, std::uint32_t shard, Look look) {
    page shown;
    const auto seen = broker.see(shard, [&](const core::shard& s) {
        const auto found = look(s);
        shown = found ? json(json_of(found.value())) : refusal(found.failure());
    });
    return seen ? shown : refusal(broker.not_ready());
}

template <class Description>
std::string text_of(const result<Description>& found) {
    return found ? json_of(found.value()) : std::string();
}

}  // namespace

page pages::topic(const std::string& name) const {
    return show(broker_, shard_of(name), [&](const core::shard& s) { return s.look_at_topic(name); });
}

page pages::subscription(const std::string& topic, const std::string& name) const {
    return show(broker_, shard_of(topic), [&](const core::shard& s) { return s.look_at_subscription(topic, name); });
}

asio::awaitable<page> pages::topics(part wanted) const {
    named_list all;
    all.names = [](const core::shard& shard, const std::string& after, std::size_t limit) { return shard.topic_names(after, limit); };
    all.topic = [](const std::string& name) { return name; };
    all.describe = [](const core::shard& shard, const std::string& name) { return text_of(shard.look_at_topic(name)); };
    return named("topics", std::move(all), std::move(wanted));
}

asio::awaitable<page> pages::subscriptions(std::string topic, part wanted) const {
    named_list all;
    all.names = [topic](const core::shard& shard, const std::string& after, std::size_t limit) { return shard.subscription_names(topic, after, limit); };
    all.topic = [topic](const std::string&) { return topic; };
    all.describe = [topic](const core::shard& shard, const std::string& name) { return text_of(shard.look_at_subscription(topic, name)); };
    return named("subscriptions", std::move(all), std::move(wanted));
}

asio::awaitable<page> pages::named(std::string what, named_list from, part wanted) const {
    list all(what);
    auto more = true;
    while (more && all.count() < wanted.limit && !all.is_full()) {
        result<core::answers::name_page> found(core::answers::name_page{});
        const auto count = std::min(wanted.limit - all.count(), names_a_turn);
        if (!broker_.see(0, [&](const core::shard& s) { found = from.names(s, wanted.after, count); })) co_return refusal(broker_.not_ready());
        if (!found) co_return refusal(found.failure());
        const auto& names = found.value().names;
        more = found.value().more;
        for (std::size_t i = 0; i < names.size(); ++i) {
            std::string text;
            broker_.see(shard_of(from.topic(names[i])), [&](const core::shard& s) { text = from.describe(s, names[i]); });
            if (!text.empty()) all.add(text);
            wanted.after = names[i];
            if (!all.is_due()) continue;
            more |= i + 1 < names.size();
            break;
        }
        co_await turn();
    }
    co_return all.ended(more);
}

asio::awaitable<page> pages::sessions(part wanted) const {
    std::uint64_t after = 0;
    const auto* last = wanted.after.data() + wanted.after.size();
    const auto [rest, bad] = std::from_chars(wanted.after.data(), last, after);
    if (!wanted.after.empty() && (bad != std::errc{} || rest != last))
        co_return refusal({errc::invalid_argument, "after is '" + wanted.after + "': give the id of a session"});
    list all("sessions");
    auto more = true;
    while (more && all.count() < wanted.limit && !all.is_full()) {
        const auto count = std::min(wanted.limit - all.count(), names_a_turn);
        const auto found = broker_.sessions(after, count + 1);
        more = found.size() > count;
        const auto shown = std::min(count, found.size());
        std::vector<std::vector<core::consumer_figures>> consumers(shown);
        for (std::uint32_t shard = 0; shard < broker_.shards(); ++shard)
            broker_.see(shard, [&](const core::shard& s) {
                for (std::size_t i = 0; i < shown; ++i)
                    for (auto& c : s.consumers_of(core::session_id{found[i].id})) consumers[i].push_back(std::move(c));
            });
        for (std::size_t i = 0; i < shown; ++i) {
            all.add(json_of(found[i], consumers[i]));
            after = found[i].id;
        }
        co_await turn();
    }
    co_return all.ended(more);
}

}  // namespace millrace::admin

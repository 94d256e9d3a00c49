#include "broker/driver/catalog_desk.hpp"

#include <utility>

#include "broker/core/invariant.hpp"

namespace millrace::driver {
namespace {

namespace input = core::input;
namespace answers = core::answers;

bool is_opening(const core::any_input& change) { return std::holds_alternative<input::open_producer>(change); }
bool is_forgetting(const core::any_input& change) { return std::holds_alternative<input::forget_producer>(change); }

core::any_input from(core::origin origin, core::any_input what) {
    std::visit(
        [&](auto& asked) {
            if constexpr (requires { asked.from.request; }) asked.from = origin;
        },
        what);
    return what;
}

core::origin origin_of(const core::any_input& what) {
    return std::visit(
        [](const auto& asked) {
            if constexpr (requires { asked.from.request; }) return asked.from;
            return core::origin{};
        },
        what);
}

/// What the others are to learn of a change that has been made.
core::any_input news_of(const core::any_input& change, const core::any_answer& made, const core::shard& catalog) {
    if (const auto* t = std::get_if<answers::topic_info>(&made)) return input::learn_topic{{}, {t->id, t->name, t->created_at, t->settings}};
    if (const auto* s = std::get_if<answers::subscription_info>(&made))
        return input::learn_subscription{{}, {s->id, catalog.topic_named(s->topic).value(), s->name, s->created_at, s->settings}};
    if (const auto* p = std::get_if<answers::producer_opened>(&made)) {
        const auto& asked = std::get<input::open_producer>(change);
        return input::learn_producer{{}, p->id, asked.name, p->epoch, asked.incarnation};
    }
    if (const auto* gone = std::get_if<input::delete_topic>(&change)) return input::forget_topic{{}, gone->name};
    const auto& gone = std::get<input::delete_subscription>(change);
    return input::forget_subscription{{}, gone.topic, gone.name};
}

}  // namespace

void catalog_desk::ask(core::any_input wanted) {
    const auto client = origin_of(wanted);
    line_.push_back({std::move(wanted), client, stage::making, 0, 0, {}});
}

void catalog_desk::forget(core::producer_id idle) {
    const auto is_it = [&](const core::any_input& asked) {
        const auto* same = std::get_if<input::forget_producer>(&asked);
        return same && same->id == idle;
    };
    for (const auto& c : line_)
        if (is_it(c.what)) return;
    for (const auto& [id, c] : under_way_)
        if (is_it(c.what)) return;
    ask(input::forget_producer{{}, idle});
}

std::uint32_t catalog_desk::maker_of(const core::any_input& wanted, const core::shard& catalog) const {
    const auto of_topic = [&](const std::string& name) {
        const auto id = catalog.topic_named(name);
        return id ? place_.of(*id) : 0;  // which says that there is none
    };
    return std::visit(
        [&](const auto& c) -> std::uint32_t {
            using type = std::decay_t<decltype(c)>;
            if constexpr (std::is_same_v<type, input::create_topic>)
                return place_.of(catalog.next_topic());
            else if constexpr (requires { c.topic.size(); })
                return of_topic(c.topic);
            else if constexpr (std::is_same_v<type, input::update_topic> || std::is_same_v<type, input::delete_topic>)
                return of_topic(c.name);
            else
                return 0;
        },
        wanted);
}

std::vector<catalog_desk::errand> catalog_desk::take_errands(const core::shard& catalog) {
    while (!line_.empty()) {
        const auto beside = is_opening(line_.front().what) && (under_way_.empty() || is_opening(under_way_.begin()->second.what));
        if (!under_way_.empty() && !beside) break;
        auto& c = under_way_[++last_] = std::move(line_.front());
        line_.pop_front();
        begin(last_, c, catalog);
    }
    return std::exchange(errands_, {});
}

void catalog_desk::begin(std::uint64_t id, change& c, const core::shard& catalog) {
    c.maker = maker_of(c.what, catalog);
    if (is_forgetting(c.what))
        tell(id, c, c.what);
    else
        make(id, c);
}

void catalog_desk::make(std::uint64_t id, change& c) {
    c.at = stage::making;
    errands_.push_back({c.maker, from({core::session_id{}, core::request_id{id}}, c.what)});
}

void catalog_desk::tell(std::uint64_t id, change& c, const core::any_input& news) {
    c.at = stage::telling;
    c.untold = place_.count - 1;
    for (std::uint32_t shard = 0; shard < place_.count; ++shard)
        if (shard != c.maker) errands_.push_back({shard, from({core::session_id{}, core::request_id{id}}, news)});
}

void catalog_desk::answered(core::request_id which, core::any_answer&& what, const core::shard& catalog) {
    const auto id = static_cast<std::uint64_t>(which);
    const auto it = under_way_.find(id);
    core::invariant(it != under_way_.end(), "a change was answered that is not under way", id);
    auto& c = it->second;
    const auto is_refused = std::holds_alternative<error>(what);
    if (c.at == stage::making) {
        c.verdict = std::move(what);
        if (is_refused || is_forgetting(c.what)) return end(id, c);
        return tell(id, c, news_of(c.what, c.verdict, catalog));
    }
    if (is_refused) c.verdict = std::move(what);  // of a producer that was used meanwhile: nobody else may refuse
    if (const auto* there = std::get_if<answers::producer_opened>(&what)) {
        auto& all = std::get<answers::producer_opened>(c.verdict).positions;
        all.insert(all.end(), there->positions.begin(), there->positions.end());
    }
    if (--c.untold > 0) return;
    if (is_forgetting(c.what) && !std::holds_alternative<error>(c.verdict)) return make(id, c);
    end(id, c);
}

void catalog_desk::end(std::uint64_t id, change& c) {
    const auto* forgotten = std::get_if<input::forget_producer>(&c.what);
    if (!forgotten)
        answers_.push_back({c.client, std::move(c.verdict)});
    else if (std::holds_alternative<error>(c.verdict))
        errands_.push_back({0, input::note_use{forgotten->id}});
    under_way_.erase(id);
}

}  // namespace millrace::driver

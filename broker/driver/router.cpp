#include "broker/driver/router.hpp"

#include <algorithm>
#include <iterator>

#include "broker/core/invariant.hpp"
#include "proto/record.hpp"

namespace millrace::driver {
namespace {

namespace input = core::input;

constexpr std::uint64_t first_move = std::uint64_t{1} << 63;  // no errand of a desk has such a number

template <class... Of>
bool is_one_of(const core::any_input& request) {
    return (std::holds_alternative<Of>(request) || ...);
}

bool changes_catalog(const core::any_input& request) {
    return is_one_of<input::create_topic, input::update_topic, input::delete_topic, input::create_subscription, input::update_subscription, input::delete_subscription,
                     input::open_producer>(request);
}

}  // namespace

router::router(core::shard shard, const driver_settings& settings, core::shard_place place, figures before)
    : place_(place), driver_(std::move(shard), settings, std::move(before)), to_others_(place.count), last_move_(first_move), desk_(place) {}

// ---- from sessions ----

std::uint32_t router::shard_of_topic(const std::string& name) const {
    const auto id = driver_.shard().topic_named(name);
    return id ? place_.of(*id) : place_.index;  // which says that there is none
}

/// Who has what the request is about. Names of all topics and subscriptions are here.
std::uint32_t router::shard_of(const core::any_input& request) const {
    return std::visit(
        [&](const auto& r) -> std::uint32_t {
            using type = std::decay_t<decltype(r)>;
            if constexpr (std::is_same_v<type, input::describe_topic> || std::is_same_v<type, input::purge_topic>)
                return shard_of_topic(r.name);
            else if constexpr (std::is_same_v<type, input::describe_subscription> || std::is_same_v<type, input::subscribe> || std::is_same_v<type, input::peek>)
                return shard_of_topic(r.topic);
            else if constexpr (requires { r.consumer; }) {
                const auto session = [&] {
                    if constexpr (requires { r.session; })
                        return r.session;
                    else
                        return r.from.session;
                }();
                const auto it = shard_of_consumer_.find({session, r.consumer});
                return it == shard_of_consumer_.end() ? place_.index : it->second;  // which says that there is none
            } else
                return place_.index;
        },
        request);
}

void router::submit(timestamp now, core::any_input request) {
    if (place_.count == 1) return driver_.submit(now, request);
    now_ = now;
    if (changes_catalog(request)) return change_catalog(std::move(request));
    if (const auto* lost = std::get_if<input::session_lost>(&request)) {
        forget_session(lost->session);
        for (std::uint32_t shard = 0; shard < place_.count; ++shard) send(now, shard, core::any_input(*lost));
        return;
    }
    const auto shard = shard_of(request);
    if (const auto* comes = std::get_if<input::subscribe>(&request)) {
        if (!note_coming(*comes, shard))
            return driver_.refuse(comes->from, {errc::consumer_exists, "this session has a consumer " + std::to_string(static_cast<std::uint32_t>(comes->consumer)) + " already"});
    } else if (const auto* leaves = std::get_if<input::unsubscribe>(&request)) {
        const core::holder_id who{leaves->from.session, leaves->consumer};
        leaving_.emplace(who, shard);
        asked_[leaves->from] = {who, shard, true};
    }
    send(now, shard, std::move(request));
}

void router::change_catalog(core::any_input&& wanted) {
    if (place_.index != 0) {
        to_others_[0].requests.emplace_back(catalog_change{std::move(wanted)});
        return;
    }
    desk_.ask(std::move(wanted));
    run_desk();
}

/// False when the session has such a consumer in another shard. One that it has in this shard is refused there.
bool router::note_coming(const input::subscribe& comes, std::uint32_t shard) {
    const core::holder_id who{comes.from.session, comes.consumer};
    const auto before = shard_of_consumer_.find(who);
    const auto stays = before != shard_of_consumer_.end() && !leaving_.contains({who, before->second});
    if (stays) return before->second == shard;
    shard_of_consumer_[who] = shard;
    asked_[comes.from] = {who, shard, false};
    return true;
}

void router::send(timestamp now, std::uint32_t shard, core::any_input&& request) {
    if (shard == place_.index)
        driver_.submit(now, request);
    else
        to_others_[shard].requests.emplace_back(std::move(request));
}

void router::publish(timestamp now, const publish_request& request) {
    const auto shard = place_.of(request.partition.topic);
    if (shard == place_.index) return driver_.publish(now, request);
    checked_batch batch{request, {}, {}};
    if (auto bad = check_records(request, batch.record_ends)) return driver_.refuse(request.from, std::move(bad));
    batch.what.claim.checksum = proto::batch_checksum(request.records);
    batch.records.assign(request.records.begin(), request.records.end());  // they leave the session's read buffer
    to_others_[shard].requests.emplace_back(std::move(batch));
}

void router::forget_session(core::session_id session) {
    const auto erase = [](auto& all, auto first, auto is_of) {
        while (first != all.end() && is_of(*first)) first = all.erase(first);
    };
    erase(shard_of_consumer_, shard_of_consumer_.lower_bound({session, core::consumer_id{}}), [&](const auto& c) { return c.first.session == session; });
    erase(asked_, asked_.lower_bound({session, core::request_id{}}), [&](const auto& a) { return a.first.session == session; });
    erase(leaving_, leaving_.lower_bound({{session, core::consumer_id{}}, 0}), [&](const auto& l) { return l.first.session == session; });
}

// ---- from other shards ----

void router::take(timestamp now, std::uint32_t from, parcel&& p) {
    now_ = now;
    for (auto& r : p.requests) {
        if (auto* batch = std::get_if<checked_batch>(&r)) {
            batch->what.records = batch->records;
            driver_.publish_checked(now, batch->what, batch->record_ends);
        } else if (auto* arrived = std::get_if<arrival>(&r)) {
            driver_.arrive(now, arrived->from, arrived->what);
        } else if (auto* change = std::get_if<catalog_change>(&r)) {
            desk_.ask(std::move(change->what));
            run_desk();
        } else {
            driver_.submit(now, std::get<core::any_input>(r));
        }
    }
    for (auto& a : p.results) take_results(from, std::move(a));
}

void router::take_results(std::uint32_t from, actions&& results) {
    note_all(results.answers);
    if (!leaving_.empty()) std::erase_if(results.pushes, [&](const push& p) { return leaving_.contains({{p.session, p.consumer}, from}); });
    for (const auto& e : results.ended) note_end(e, from);
    if (!results.empty()) for_here_.push_back(std::move(results));
}

/// Takes out those that are for a shard itself.
void router::note_all(std::vector<core::answer>& answers) {
    std::erase_if(answers, [&](core::answer& a) {
        if (settle(a)) return true;
        note(a);
        return false;
    });
}

/// Whether it was for a shard itself.
bool router::settle(core::answer& a) {
    if (static_cast<std::uint64_t>(a.to.session) >= place_.count) return false;
    if (const auto moved = moving_.extract(a.to.request)) {
        const auto* refused = std::get_if<error>(&a.what);
        driver_.submit(now_, input::moved{moved.mapped(), refused ? *refused : error{}});
        return true;
    }
    desk_.answered(a.to.request, std::move(a.what), driver_.shard());
    run_desk();
    return true;
}

void router::run_desk() {
    for (auto& e : desk_.take_errands(driver_.shard())) send(now_, e.shard, std::move(e.what));
    actions told;
    told.answers = desk_.take_answers();
    if (told.answers.empty()) return;
    send_away(told);
    if (!told.empty()) for_here_.push_back(std::move(told));
}

/// What an answer says of the consumer that was to come or to leave.
void router::note(const core::answer& a) {
    const auto asked = asked_.extract(a.to);
    if (!asked) return;
    const auto& [who, shard, leaves] = asked.mapped();
    if (leaves) leaving_.erase({who, shard});
    const auto is_gone = leaves || std::holds_alternative<error>(a.what);
    const auto it = shard_of_consumer_.find(who);
    if (is_gone && it != shard_of_consumer_.end() && it->second == shard && !comes_again(who)) shard_of_consumer_.erase(it);
}

bool router::comes_again(core::holder_id who) const {
    return std::any_of(asked_.lower_bound({who.session, core::request_id{}}), asked_.end(), [&](const auto& a) { return a.second.who == who && !a.second.leaves; });
}

void router::note_end(const core::consumer_ended& e, std::uint32_t from) {
    const auto it = shard_of_consumer_.find({e.session, e.consumer});
    if (it != shard_of_consumer_.end() && it->second == from) shard_of_consumer_.erase(it);
}

// ---- to sessions, and to other shards ----

/// Moves what is for sessions of other shards to `away`.
template <class T, class SessionOf>
void router::sort(std::vector<T> actions::*kind, actions& a, std::vector<actions>& away, SessionOf session_of) {
    auto& all = a.*kind;
    const auto is_here = [&](const T& one) { return home_of(session_of(one)) == place_.index; };
    if (std::all_of(all.begin(), all.end(), is_here)) return;
    std::vector<T> here;
    for (auto& one : all) {
        auto& to = is_here(one) ? here : away[home_of(session_of(one))].*kind;
        to.push_back(std::move(one));
    }
    all = std::move(here);
}

void router::send_away(actions& a) {
    std::vector<actions> away(place_.count);
    sort(&actions::answers, a, away, [](const core::answer& one) { return one.to.session; });
    sort(&actions::peeks, a, away, [](const peeked& one) { return one.to.session; });
    sort(&actions::pushes, a, away, [](const push& one) { return one.session; });
    sort(&actions::ended, a, away, [](const core::consumer_ended& one) { return one.session; });
    sort(&actions::closes, a, away, [](const session_close& one) { return one.session; });
    for (std::uint32_t shard = 0; shard < place_.count; ++shard)
        if (!away[shard].empty()) to_others_[shard].results.push_back(std::move(away[shard]));
}

actions router::take_actions(timestamp now) {
    if (place_.count == 1) return driver_.take_actions();
    now_ = now;
    for (;;) {
        if (!for_here_.empty()) {
            auto a = std::move(for_here_.front());
            for_here_.pop_front();
            return a;
        }
        auto a = driver_.take_actions();
        if (a.empty()) return a;
        send_away(a);
        for (auto& m : std::exchange(a.moves, {})) {
            const core::request_id id{++last_move_};
            moving_[id] = m.what;
            const auto shard = place_.of(m.target.topic);
            to_others_[shard].requests.emplace_back(arrival{{core::session_id{place_.index}, id}, std::move(m)});
        }
        for (const auto id : std::exchange(a.idle_producers, {})) desk_.forget(id);
        run_desk();
        for (const auto& e : a.ended) note_end(e, place_.index);
        note_all(a.answers);
        if (!a.empty()) return a;
    }
}

std::vector<router::sent> router::take_parcels() {
    std::vector<sent> all;
    for (std::uint32_t shard = 0; shard < to_others_.size(); ++shard)
        if (!to_others_[shard].empty()) all.push_back({shard, std::exchange(to_others_[shard], {})});
    return all;
}

}  // namespace millrace::driver

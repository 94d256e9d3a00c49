#include "tests/sim/broker_host.hpp"

#include <algorithm>
#include <utility>

namespace millrace::sim {

using namespace std::chrono_literals;

namespace {

constexpr auto write_timeout = 30s;

std::uint64_t number(core::session_id id) { return static_cast<std::uint64_t>(id); }

std::vector<std::byte> bytes_of(const server::output& out) {
    std::vector<std::byte> bytes;
    for (const auto& p : out.pieces) {
        const auto piece = p.slice.empty() ? std::span(out.buffer).subspan(p.offset, p.size) : p.slice;
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    }
    return bytes;
}

}  // namespace

void broker_host::later(std::chrono::microseconds wait, std::function<void()> what) {
    events_.after(wait, [this, life = life_, what = std::move(what)] {
        if (life == life_) what();
    });
}

// ---- its life ----

void broker_host::start() {
    const auto count = static_cast<std::uint32_t>(random_.between(1, habits_.shards_max));
    auto opened = store_.open(count);
    start_clock();
    for (std::uint32_t index = 0; index < count; ++index) {
        auto settings = habits_.shard;
        settings.place = {index, count};
        auto recovered = core::shard::recover(settings, opened.rows);
        if (!recovered) throw violation("cannot recover: " + to_string(recovered.failure()));
        auto& l = loops_.emplace_back();
        l.shard = core::shard_id{index};
        l.epoch = opened.epochs[index];
        l.router = std::make_unique<driver::router>(std::move(recovered.value()), habits_.driver, settings.place);
        l.router->own().shard().check();
    }
    failed_ = false;
    started_at_ = events_.now();
    ++recoveries_;
    noted_.note(events_.now(), "broker-start epoch shards", static_cast<std::uint64_t>(loops_.front().epoch), count);
    for (auto& l : loops_) arm_deadline(l);
    sweep();
}

/// A wall clock that was set forward while the broker was away ends backoffs early: they count from when it comes back.
void broker_host::start_clock() {
    const auto before = clock_ ? now() : timestamp{};
    clock_.emplace(read_clocks());
    if (before != timestamp{} && now() != before) judge_.time_leapt();
}

driver::broker_clock::reading broker_host::read_clocks() const {
    return {clocks_.wall(events_.now()), clocks_.steady(events_.now())};
}

void broker_host::crash() {
    noted_.note(events_.now(), "broker-crash sessions", clients_.size());
    ++life_;
    store_.crash();
    loops_.clear();
    asked_.clear();
    for (auto& [id, c] : std::exchange(clients_, {})) {
        c.wire->detach(side::broker);
        c.wire->cut();
        judge_.session_ended(events_.now(), session_key{number(id)});
    }
    judge_.broker_crashed();
}

// ---- sessions ----

broker_host::client* broker_host::find(core::session_id id) {
    const auto it = clients_.find(id);
    return it == clients_.end() ? nullptr : &it->second;
}

void broker_host::accept(const std::shared_ptr<connection>& c) {
    const auto home = shards() == 1 ? 0 : random_.below(shards());
    do ++last_session_;
    while (last_session_ < shards() || last_session_ % shards() != home);
    const core::session_id id{last_session_};
    auto settings = habits_.session;
    settings.epoch = loops_.front().epoch;
    settings.level = store_.level();
    settings.key = random_.between(1, ~std::uint64_t{0} - 1);
    clients_[id] = {c, std::make_unique<server::wire_session>(id, settings, now()), false};
    c->attach(side::broker, {[this, id](std::span<const std::byte> bytes) { received(id, bytes); }, [this, id] { end_session(id); },
                             [this, id] {
                                 if (auto* written = find(id)) written->writing = false;
                                 write(id);
                             }});
}

void broker_host::received(core::session_id id, std::span<const std::byte> bytes) {
    bool waited = true;  // as a loop reads: what it has waited for into its own buffer, what is there besides into the session's
    while (!bytes.empty()) {
        auto* c = find(id);
        if (!c || c->session->closing()) return;
        std::size_t count = 0;
        if (std::exchange(waited, false)) {
            count = std::min<std::size_t>(2048, bytes.size());
            c->session->received(now(), bytes.first(count));
        } else {
            const auto space = c->session->prepare();
            count = std::min(space.size(), bytes.size());
            std::copy_n(bytes.begin(), count, space.begin());
            c->session->received(now(), count);
        }
        bytes = bytes.subspan(count);
        while (auto r = c->session->next()) {
            if (seen_) count_request(*c, *r);
            if (const auto* former = std::get_if<server::former_session>(&*r)) {
                end_former(id, *former);
                continue;
            }
            drive(home_of(id), [&](driver::router& d) {
                if (const auto* p = std::get_if<driver::publish_request>(&*r))
                    d.publish(now(), *p);
                else
                    d.submit(now(), std::get<core::any_input>(*r));
            });
        }
        home_of(id).to_write.insert(id);
    }
    run(home_of(id));
    finish(id);
    if (is_up()) schedule_flush(home_of(id));
}

/// A session that closes of its own accord has its goodbye to say, and is gone for the core.
void broker_host::finish(core::session_id id) {
    auto* c = find(id);
    if (!c || !c->session->closing()) return;
    noted_.note(events_.now(), "session-closes session reason", number(id), static_cast<std::uint64_t>(c->session->close_reason().code));
    if (seen_) seen_->said_goodbye(c->session->close_reason().code);
    auto closing = std::move(*c);
    clients_.erase(id);
    judge_.session_ended(events_.now(), session_key{number(id)});
    if (closing.session->has_output()) closing.wire->send(side::broker, bytes_of(closing.session->take_output()));
    closing.wire->shut(side::broker);
    drive(home_of(id), [&](driver::router& d) { d.submit(now(), core::input::session_lost{id}); });
    run(home_of(id));
}

void broker_host::end_former(core::session_id heir, const server::former_session& former) {
    auto* c = find(former.id);
    if (!c || former.id == heir || !c->session->is_known_by(former.key)) return;
    c->session->close({errc::connection_lost, "its client has come back on another connection"});
    finish(former.id);
}

void broker_host::end_session(core::session_id id) {
    if (clients_.erase(id) == 0) return;
    noted_.note(events_.now(), "session-lost session", number(id));
    judge_.session_ended(events_.now(), session_key{number(id)});
    if (!is_up()) return;
    drive(home_of(id), [&](driver::router& d) { d.submit(now(), core::input::session_lost{id}); });
    run(home_of(id));
    schedule_flush(home_of(id));
}

void broker_host::write(core::session_id id) {
    auto* c = find(id);
    if (!c || c->writing || !c->session->has_output()) return;
    auto bytes = bytes_of(c->session->take_output());
    c->writing = true;
    c->wire->send(side::broker, std::move(bytes));
}

void broker_host::sweep() {
    later(500ms, [this] {
        std::vector<core::session_id> all;
        for (const auto& [id, c] : clients_) all.push_back(id);
        for (const auto id : all) {
            if (auto* c = find(id); c && c->writing && events_.now() - c->wire->took_at(side::client) > write_timeout) {
                const auto wire = c->wire;
                wire->detach(side::broker);
                wire->cut();
                end_session(id);
            }
            if (auto* c = find(id)) c->session->check_time(now());
            finish(id);
        }
        look_at_space();
        for (auto& l : loops_) {
            run(l);
            schedule_flush(l);
        }
        sweep();
    });
}

// ---- what is counted ----

broker_state broker_host::state() {
    const auto& first = loops_.front().router->own();
    if (!first.gate().is_open()) return broker_state::disk_full;
    if (events_.now() - started_at_ < 2s) return broker_state::just_started;
    if (first.groups_in_flight() >= habits_.driver.groups_in_flight) return broker_state::writing_all_it_may;
    return first.groups_in_flight() > 0 ? broker_state::writing : broker_state::at_rest;
}

bool broker_host::reads_wait() const {
    return std::any_of(loops_.begin(), loops_.end(), [](const auto& l) { return l.router->own().reads_waiting() > 0; });
}

void broker_host::count_request(client& c, const server::request& r) {
    if (std::holds_alternative<server::former_session>(r)) {
        c.returned = true;
        return;
    }
    const auto* batch = std::get_if<driver::publish_request>(&r);
    const auto in = batch ? core::any_input(core::input::publish{}) : std::get<core::any_input>(r);
    seen_->met(in.index(), state(),
               c.named           ? session_state::publishing_by_name
               : c.consumers > 0 ? session_state::consuming
               : c.returned      ? session_state::returned
                                 : session_state::fresh);
    c.named |= std::holds_alternative<core::input::open_producer>(in);
    if (std::holds_alternative<core::input::subscribe>(in)) ++c.consumers;
    if (std::holds_alternative<core::input::unsubscribe>(in) && c.consumers > 0) --c.consumers;
    const auto from = std::visit(
        [&](const auto& asked) {
            if constexpr (requires { asked.from.request; }) return asked.from;
            return core::origin{};
        },
        in);
    asked_[batch ? batch->from : from] = in.index();
}

void broker_host::count_answer(const core::origin& to, errc how) {
    if (const auto asked = asked_.extract(to)) seen_->answered(asked.mapped(), how);
}

// ---- the driver ----

template <class Input>
void broker_host::drive(loop& l, Input input) {
    input(*l.router);
    l.router->own().shard().check();
}

void broker_host::run(loop& l) {
    while (!failed_) {
        auto a = l.router->take_actions(now());
        if (a.empty()) break;
        perform(l, a);
    }
    send_parcels(l);
    for (const auto id : std::exchange(l.to_write, {})) write(id);
    arm_deadline(l);
}

/// They come in the order in which they were sent, to whichever loop, as handlers do that are posted to it.
void broker_host::send_parcels(loop& l) {
    for (auto& sent : l.router->take_parcels()) {
        auto& to = loops_[sent.to];
        to.last_parcel = std::max(to.last_parcel, events_.now() + random_.between(0us, habits_.parcel_max));
        const auto what = std::make_shared<driver::parcel>(std::move(sent.what));
        events_.at(to.last_parcel, [this, life = life_, &to, from = static_cast<std::uint32_t>(l.shard), what] {
            if (life != life_) return;
            drive(to, [&](driver::router& d) { d.take(now(), from, std::move(*what)); });
            run(to);
            schedule_flush(to);
        });
    }
}

void broker_host::perform(loop& l, driver::actions& a) {
    if (a.fatal) {
        failed_ = true;
        noted_.note(events_.now(), "broker-fatal code", static_cast<std::uint64_t>(a.fatal.code));
        if (a.fatal.code != errc::outcome_unknown && a.fatal.code != errc::sync_failed) throw violation("the broker gave up: " + to_string(a.fatal));
        later(0us, [this] { crash(); });
        return;
    }
    if (a.wants_space) look_at_space();
    for (const auto& answer : a.answers) {
        const auto* refused = std::get_if<error>(&answer.what);
        noted_.note(events_.now(), "answer session request refused", number(answer.to.session), static_cast<std::uint64_t>(answer.to.request),
                    refused ? static_cast<std::uint64_t>(refused->code) : 0);
        if (seen_) count_answer(answer.to, refused ? refused->code : errc::ok);
        l.to_write.insert(answer.to.session);
        if (auto* c = find(answer.to.session)) c->session->answer(answer);
    }
    for (auto& p : a.peeks) {
        if (seen_) count_answer(p.to, errc::ok);
        l.to_write.insert(p.to.session);
        if (auto* c = find(p.to.session)) c->session->answer(std::move(p));
    }
    for (auto& p : a.pushes) {
        noted_.note(events_.now(), "push session consumer topic partition first count attempt", number(p.session), static_cast<std::uint64_t>(p.consumer),
                    static_cast<std::uint64_t>(p.run.partition.topic), p.run.partition.index, p.run.first.value, p.run.count, p.run.attempt);
        l.to_write.insert(p.session);
        if (auto* c = find(p.session)) c->session->push(std::move(p));
    }
    for (const auto& e : a.ended) {
        l.to_write.insert(e.session);
        if (auto* c = find(e.session)) c->session->ended(e);
    }
    for (const auto& s : a.closes) {
        throw violation("the broker closed session " + std::to_string(number(s.session)) + ": " + to_string(s.why));
    }
    for (auto& g : a.commits) {
        ++commits_;
        noted_.note(events_.now(), "commit group mutations", static_cast<std::uint64_t>(g.number), g.mutations.size());
        store_.commit(l.shard, l.epoch, std::move(g), [this, &l](core::group_number done, error refused) {
            noted_.note(events_.now(), "committed group refused", static_cast<std::uint64_t>(done), static_cast<std::uint64_t>(refused.code));
            drive(l, [&](driver::router& d) { d.own().on_committed(now(), done, refused); });
            if (!refused) drive(l, [&](driver::router& d) { d.own().flush(now()); });
            run(l);
        });
    }
    for (const auto& r : a.reads) {
        store_.read(r, [this, &l, r](auto found) {
            drive(l, [&](driver::router& d) { d.own().on_read(now(), r, std::move(found)); });
            run(l);
            schedule_flush(l);
        });
    }
    for (const auto& s : a.scans) {
        store_.scan(s, [this, &l, s](auto found) {
            drive(l, [&](driver::router& d) { d.own().on_scanned(now(), s, std::move(found)); });
            run(l);
            schedule_flush(l);
        });
    }
}

void broker_host::look_at_space() {
    for (auto& l : loops_) drive(l, [&](driver::router& d) { d.own().on_space(now(), store_.space()); });
}

void broker_host::schedule_flush(loop& l) {
    if (l.flush_scheduled) return;
    l.flush_scheduled = true;
    later(random_.chance(200) ? random_.between(0us, 500us) : 0us, [this, &l] {
        l.flush_scheduled = false;
        drive(l, [&](driver::router& d) { d.own().flush(now()); });
        run(l);
    });
}

void broker_host::arm_deadline(loop& l) {
    const auto due = l.router->own().next_deadline();
    if (due == l.armed) return;
    l.armed = due;
    if (!due) return;
    events_.after(clocks_.until(std::max(0us, std::chrono::duration_cast<std::chrono::microseconds>(*due - now()))), [this, life = life_, &l, due] {
        if (life != life_ || l.armed != due) return;
        l.armed.reset();
        drive(l, [&](driver::router& d) { d.own().on_time(now()); });
        run(l);
        schedule_flush(l);
    });
}

}  // namespace millrace::sim

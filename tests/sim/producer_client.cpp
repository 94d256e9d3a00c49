#include "tests/sim/producer_client.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace std::chrono_literals;

namespace {

/// Refusals that end what a producer knows of a place.
bool is_gone(errc why) { return why == errc::no_such_topic || why == errc::no_such_partition; }

/// Refusals of a batch that leave its number free.
bool is_put_off(errc why) { return why == errc::backlog_full || why == errc::disk_full; }

}  // namespace

producer_client::producer_client(surroundings& around, std::string name)
    : around_(around), wire_(around, {[this] { welcomed(); }, [](const proto::frame&) {}, [this] { lost(); }}), name_(std::move(name)) {}

// ---- its name ----

void producer_client::welcomed() {
    pinged_at_ = around_.now();
    if (incarnation_ == 0 || !was_open_ || fenced_) begin_anew();
    open();
}

void producer_client::lost() {
    is_open_ = false;
    for (auto& [at, p] : places_) rewind(p);
}

/// Another process: it knows nothing of the one before.
void producer_client::begin_anew() {
    who_ = around_.judge.producers().begins(name_);
    incarnation_ = around_.random.between(1, ~std::uint64_t{0} - 1);
    was_open_ = is_open_ = fenced_ = false;
    places_.clear();
}

void producer_client::open() {
    around_.judge.producers().opening_sent(who_);
    around_.noted.note(around_.now(), "open-producer session incarnation returns", static_cast<std::uint64_t>(wire_.session()), static_cast<std::uint64_t>(who_), was_open_);
    wire_.ask([&](auto& b) { return wire::CreateOpenProducer(b, b.CreateString(name_), incarnation_, was_open_); },
              [this, who = who_](const proto::frame& f) {
                  if (who != who_) return;
                  if (const auto* as = f.head->message_as_ProducerOpened()) return opened(*as);
                  const auto* failed = f.head->message_as_Failed();
                  if (!was_open_ || static_cast<errc>(failed->code()) != errc::producer_fenced)
                      throw violation("a producer was not opened: " + failed->what()->str());
                  around_.judge.producers().fenced(who_);
                  fenced_ = true;
              });
}

/// What the broker has taken is sent again for its answer, what it has not under the numbers that it had.
void producer_client::opened(const wire::ProducerOpened& as) {
    std::vector<producer_rules::position> told;
    std::map<place, std::uint64_t> last;
    if (as.positions())
        for (const auto* p : *as.positions()) {
            told.push_back({p->topic(), p->partition(), p->number()});
            last[{p->topic(), p->partition()}] = p->number();
        }
    around_.judge.producers().opening_answered(who_, as.epoch(), told);
    id_ = as.producer();
    epoch_ = as.epoch();
    was_open_ = is_open_ = true;
    for (const auto& [at, number] : last) places_.try_emplace(at);
    for (auto& [at, p] : places_) {
        p.last = p.unanswered.empty() ? last[at] : std::max(last[at], p.unanswered.back().number);
        for (const auto& b : p.unanswered) send_counted(at, b);
    }
}

// ---- what it does ----

void producer_client::act() {
    auto& random = around_.random;
    if (!wire_.is_open()) {
        if (around_.settling || random.chance(300)) wire_.connect();
        return;
    }
    if (!wire_.is_welcome()) return;
    if (around_.now() - pinged_at_ > 5s) {
        pinged_at_ = around_.now();
        wire_.tell([](auto& b) { return wire::CreatePing(b); });
    }
    if (around_.settling) return;
    if (fenced_ ? random.chance(20) : random.chance(2)) {  // it takes the name back; or it dies
        begin_anew();
        return random.chance(500) ? open() : wire_.leave();
    }
    if (!is_open_) return;
    switch (random.below(12)) {
        case 0:
        case 1:
        case 2:
        case 3: return publish();
        case 4: return send_known();
        case 5: return random.chance(200) ? send_wrong() : void();
        default: return;
    }
}

producer_client::batch producer_client::make_batch(const std::string& topic, std::uint64_t number) {
    batch b{number, {}, {}};
    for (auto n = around_.random.between(1, around_.random.chance(50) ? 200 : 12); n > 0; --n) {
        const auto bytes = around_.random.below(around_.random.chance(20) ? 10'000 : 150);
        b.messages.push_back(around_.judge.publish(topic, bytes));
        millrace::message m;
        m.payload = checker::payload_of(b.messages.back(), bytes);
        encoder_.append(m, proto::compression::none, b.records);
    }
    return b;
}

void producer_client::publish() {
    if (around_.known.topics.empty()) return;
    auto it = around_.known.topics.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(around_.random.below(around_.known.topics.size())));
    if (!it->second.library) return;
    const place at{it->second.id, static_cast<std::uint32_t>(around_.random.below(it->second.partitions))};
    auto& p = places_[at];
    if (p.unanswered.size() >= remembered || p.refused != 0) return;
    p.unanswered.push_back(make_batch(it->first, ++p.last));
    for (const auto m : p.unanswered.back().messages) around_.judge.producers().sent(who_, m);
    send_counted(at, p.unanswered.back());
}

std::optional<producer_client::place> producer_client::some_place_with_answers() {
    std::vector<place> fit;
    for (const auto& [at, p] : places_)
        if (!p.answered.empty() && p.answered.back().number + remembered > p.last && p.refused == 0) fit.push_back(at);
    return fit.empty() ? std::nullopt : std::optional(around_.random.pick(fit));
}

/// A batch that the broker remembers: it is answered as before.
void producer_client::send_known() {
    const auto at = some_place_with_answers();
    if (!at) return;
    const auto b = places_.at(*at).answered.back();
    send(*at, b, epoch_, [this, at = *at, b, who = who_](const proto::frame& f) {
        if (const auto* failed = f.head->message_as_Failed()) {
            const auto why = static_cast<errc>(failed->code());
            if (why == errc::producer_fenced && who == who_) refused(at, 0, why, failed->what()->str());
            const auto* topic = topic_of(at);
            const auto forgotten = !topic || !topic->stays;  // deleted meanwhile: then it is new to the broker, and may be put off before it is looked for
            if (why != errc::producer_fenced && !is_gone(why) && !(forgotten && is_put_off(why))) throw violation("a batch that was taken is refused: " + failed->what()->str());
            return;
        }
        around_.judge.publish_answered(at.topic, at.partition, {f.head->message_as_Published()->first()}, b.messages);
        around_.judge.producers().answered(who, {at.topic, at.partition, b.number}, {f.head->message_as_Published()->first()}, b.messages.size());
    });
}

/// What no producer may do.
void producer_client::send_wrong() {
    const auto at = some_place_with_answers();
    const auto* topic = at ? topic_of(*at) : nullptr;
    if (!topic) return;
    const auto& p = places_.at(*at);
    const auto name = std::find_if(around_.known.topics.begin(), around_.known.topics.end(), [&](const auto& t) { return t.second.id == at->topic; })->first;
    const auto what = static_cast<fault>(around_.random.below(static_cast<std::uint64_t>(fault::count)));
    auto b = make_batch(name, p.last + 1);
    auto epoch = epoch_;
    auto expected = errc::producer_fenced;
    if (what == fault::gap) b.number = p.last + 2 + around_.random.below(3), expected = errc::batch_gap;
    if (what == fault::other_messages) b.number = p.answered.back().number, expected = errc::batch_mismatch;
    if (what == fault::old_epoch) --epoch;
    if (what == fault::epoch_to_come) epoch += 1'000'000;  // the next one may be another's
    for (const auto m : b.messages) around_.judge.producers().must_be_refused(m);
    send(*at, b, epoch, [what, expected](const proto::frame& f) {
        const auto* failed = f.head->message_as_Failed();
        if (!failed) throw violation("a batch with fault " + std::to_string(static_cast<int>(what)) + " was taken");
        const auto why = static_cast<errc>(failed->code());
        if (why != expected && why != errc::producer_fenced && !is_gone(why) && !is_put_off(why))
            throw violation("a batch with fault " + std::to_string(static_cast<int>(what)) + " was refused otherwise: " + failed->what()->str());
    });
}

// ---- batches ----

const known_topic* producer_client::topic_of(place at) const {
    for (const auto& [name, t] : around_.known.topics)
        if (t.id == at.topic) return &t;
    return nullptr;
}

void producer_client::send(place at, const batch& b, std::uint32_t epoch, wire_client::answered then) {
    around_.noted.note(around_.now(), "publish-numbered session topic partition number epoch count first-number", static_cast<std::uint64_t>(wire_.session()), at.topic, at.partition,
                       b.number, epoch, b.messages.size(), static_cast<std::uint64_t>(b.messages.front()));
    wire_.ask_with(
        b.records,
        [&](auto& builder) {
            return wire::CreatePublish(builder, at.topic, at.partition, static_cast<std::uint32_t>(b.messages.size()), wire::Durability::memory, id_, epoch, b.number);
        },
        std::move(then));
}

void producer_client::send_counted(place at, const batch& b) {
    send(at, b, epoch_, [this, at, number = b.number, who = who_](const proto::frame& f) {
        if (who == who_) answered(at, number, f);
    });
}

void producer_client::answered(place at, std::uint64_t number, const proto::frame& f) {
    if (const auto* failed = f.head->message_as_Failed()) return refused(at, number, static_cast<errc>(failed->code()), failed->what()->str());
    const auto found = places_.find(at);
    if (found == places_.end()) return;
    auto& p = found->second;
    const auto it = std::find_if(p.unanswered.begin(), p.unanswered.end(), [&](const batch& b) { return b.number == number; });
    if (it == p.unanswered.end()) return;
    const sequence first{f.head->message_as_Published()->first()};
    around_.judge.publish_answered(at.topic, at.partition, first, it->messages);
    around_.judge.producers().answered(who_, {at.topic, at.partition, number}, first, it->messages.size());
    p.answered.push_back(std::move(*it));
    p.unanswered.erase(it);
    if (p.answered.size() > remembered) p.answered.pop_front();
}

void producer_client::refused(place at, std::uint64_t number, errc why, const std::string& what) {
    if (why == errc::producer_fenced) {
        if (!fenced_) around_.judge.producers().fenced(who_);
        fenced_ = true;
        is_open_ = false;
        return;
    }
    if (is_gone(why)) {
        places_.erase(at);
        return;
    }
    const auto found = places_.find(at);
    if (found == places_.end()) return;
    auto& p = found->second;
    const auto follows = p.refused != 0 && number > p.refused;
    if (follows ? why != errc::batch_gap : !is_put_off(why)) throw violation("batch " + std::to_string(number) + " was refused: " + what);
    if (p.refused == 0) p.refused = number;
    const auto it = std::find_if(p.unanswered.begin(), p.unanswered.end(), [&](const batch& b) { return b.number == number; });
    for (const auto m : it->messages) around_.judge.producers().must_be_refused(m);
    p.unanswered.erase(it);
    if (p.unanswered.empty()) rewind(p);
}

/// The number that was refused is given again; what was behind it is not sent again.
void producer_client::rewind(position& p) {
    if (p.refused == 0) return;
    std::erase_if(p.unanswered, [&](const batch& b) { return b.number > p.refused; });
    p.last = p.refused - 1;
    p.refused = 0;
}

}  // namespace millrace::sim

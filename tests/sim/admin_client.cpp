#include "tests/sim/admin_client.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace std::chrono_literals;

namespace {

/// A purge whose answer was lost with the connection may still be under way for so long.
constexpr auto purge_doubt = 15s;

std::uint64_t millis(std::chrono::milliseconds d) { return static_cast<std::uint64_t>(d.count()); }

std::vector<described_progress> progress_of(const wire::SubscriptionInfo& info) {
    std::vector<described_progress> out;
    for (const auto* p : *info.partitions())
        out.push_back({{p->start()}, {p->cursor()}, {p->high()}, p->published(), p->acked(), p->dead(), p->parked(), p->expired(), p->skipped(), p->delayed(),
                       p->ready(), p->leased()});
    return out;
}

errc refusal(const proto::frame& f) {
    const auto* failed = f.head->message_as_Failed();
    return failed ? static_cast<errc>(failed->code()) : errc::ok;
}

void expect(const proto::frame& f, std::initializer_list<errc> expected) {
    const auto code = refusal(f);
    if (code != errc::ok && std::find(expected.begin(), expected.end(), code) == expected.end())
        throw violation(std::string("the admin was refused: ") + name_of(code) + ": " + f.head->message_as_Failed()->what()->str());
}

}  // namespace

admin_client::admin_client(surroundings& around, std::vector<wanted_topic> topics, std::vector<wanted_subscription> subscriptions)
    : around_(around),
      wire_(around, {[] {}, [](const proto::frame&) {}, [this] { busy_ = false; }}),
      topics_(std::move(topics)),
      subscriptions_(std::move(subscriptions)) {}

template <class Make>
void admin_client::ask(Make make, std::function<void(const proto::frame&)> then) {
    busy_ = true;
    wire_.ask(make, [this, then = std::move(then)](const proto::frame& f) {
        busy_ = false;
        then(f);
    });
}

const known_subscription* admin_client::known(const wanted_subscription& s) const {
    for (const auto& k : around_.known.subscriptions)
        if (k.topic == s.topic && k.name == s.name) return &k;
    return nullptr;
}

bool admin_client::has_everything() const {
    return std::all_of(topics_.begin(), topics_.end(), [&](const wanted_topic& t) { return around_.known.topics.contains(t.name); }) &&
           std::all_of(subscriptions_.begin(), subscriptions_.end(), [&](const wanted_subscription& s) { return (s.guest && !around_.settling) || known(s) != nullptr; });
}

void admin_client::skip_while_uncertain() {
    for (auto it = purged_until_.begin(); it != purged_until_.end();) {
        around_.judge.may_skip(it->first);
        it = it->second < around_.now() ? purged_until_.erase(it) : std::next(it);
    }
}

void admin_client::act() {
    skip_while_uncertain();
    if (!wire_.is_open()) return wire_.connect();
    if (!wire_.is_welcome() || busy_) return;
    for (const auto& t : topics_)
        if (!around_.known.topics.contains(t.name)) return create(t);
    for (const auto& s : subscriptions_)
        if (!known(s) && (!s.guest || around_.settling || (around_.now() > guests_from_ && around_.random.chance(20)))) return create(s);
    if (!around_.settling && around_.random.chance(40)) return change_something();
    if (around_.known.subscriptions.empty()) return;
    describe(around_.known.subscriptions[next_described_++ % around_.known.subscriptions.size()]);
}

// ---- making ----

void admin_client::create(const wanted_topic& t) {
    const auto sent = around_.now();
    ask(
        [&](auto& b) {
            const auto name = b.CreateString(t.name);
            const auto settings = wire::CreateTopicSettings(b, t.partitions, flatbuffers::nullopt, t.keep_bytes, millis(t.max_age), t.max_backlog,
                                                            t.expires ? wire::LimitPolicy::expire : wire::LimitPolicy::refuse);
            return wire::CreateCreateTopic(b, name, settings);
        },
        [this, &t, sent](const proto::frame& f) {
            if (const auto* info = f.head->message_as_TopicInfo()) return learn(t, *info);
            if (around_.may_be_refused(refusal(f), sent)) return;
            expect(f, {errc::topic_exists});
            ask([&](auto& b) { return wire::CreateDescribeTopic(b, b.CreateString(t.name)); },
                [this, &t](const proto::frame& answer) {
                    expect(answer, {errc::no_such_topic});
                    if (const auto* info = answer.head->message_as_TopicInfo()) learn(t, *info);
                });
        });
}

void admin_client::learn(const wanted_topic& t, const wire::TopicInfo& info) {
    around_.judge.topic_created(info.id(), t.name);
    around_.known.topics[t.name] = {info.id(), info.partitions()->size(), t.stays, t.library};
    around_.noted.note(around_.now(), "topic-known id partitions", info.id(), info.partitions()->size());
}

void admin_client::create(const wanted_subscription& s) {
    const auto start = s.guest ? static_cast<wire::StartKind>(around_.random.below(3)) : wire::StartKind::earliest;
    const auto at = around_.random.below(3000);
    const auto sent = around_.now();
    ask(
        [&](auto& b) {
            const auto topic = b.CreateString(s.topic);
            const auto name = b.CreateString(s.name);
            const auto dead_letter = b.CreateString(s.dead_letter);
            const auto settings =
                wire::CreateSubscriptionSettings(b, millis(s.visibility), s.max_deliveries, millis(s.backoff_min), millis(s.backoff_max), dead_letter);
            return wire::CreateCreateSubscription(b, topic, name, settings, wire::CreateStartFrom(b, start, at));
        },
        [this, &s, sent](const proto::frame& f) {
            if (const auto* info = f.head->message_as_SubscriptionInfo()) return learn(s, *info);
            if (around_.may_be_refused(refusal(f), sent)) return;
            expect(f, {errc::subscription_exists, errc::no_such_topic});
            if (refusal(f) == errc::no_such_topic) return forget_topic(s.topic);
            ask([&](auto& b) { return wire::CreateDescribeSubscription(b, b.CreateString(s.topic), b.CreateString(s.name)); },
                [this, &s](const proto::frame& answer) {
                    expect(answer, {errc::no_such_subscription, errc::no_such_topic});
                    if (const auto* there = answer.head->message_as_SubscriptionInfo()) learn(s, *there);
                });
        });
}

void admin_client::learn(const wanted_subscription& s, const wire::SubscriptionInfo& info) {
    const auto topic = around_.known.topics.find(s.topic);
    if (topic == around_.known.topics.end()) return;
    subscription_promise promise{s.topic, s.name, topic->second.id, {}, s.visibility, s.backoff_min, s.max_deliveries, s.dead_letter, topic->second.stays && !s.guest};
    for (const auto* p : *info.partitions()) promise.starts.push_back({p->start()});
    around_.judge.subscription_created(info.id(), std::move(promise));
    around_.known.subscriptions.push_back({s.topic, s.name, info.id()});
    around_.noted.note(around_.now(), "subscription-known id topic", info.id(), topic->second.id);
}

// ---- looking ----

void admin_client::describe(const known_subscription& s) {
    around_.judge.describe_sent();
    const auto sent = around_.now();
    ask([&](auto& b) { return wire::CreateDescribeSubscription(b, b.CreateString(s.topic), b.CreateString(s.name)); },
        [this, s, sent](const proto::frame& f) {
            expect(f, {errc::no_such_subscription, errc::no_such_topic});
            const auto* info = f.head->message_as_SubscriptionInfo();
            if (!info || info->id() != s.id) return;
            auto progress = progress_of(*info);
            around_.judge.described(s.id, progress);
            described_[s.id] = {sent, std::move(progress)};
        });
}

bool admin_client::is_all_settled() const {
    return unsettled().empty();
}

std::string admin_client::unsettled() const {
    std::string out;
    for (const auto& s : around_.known.subscriptions) {
        const auto it = described_.find(s.id);
        if (it == described_.end() || it->second.when < around_.settling_since) {
            out += s.topic + "/" + s.name + " was not described; ";
            continue;
        }
        for (const auto& p : it->second.partitions)
            if (p.delayed + p.ready + p.leased > 0)
                out += s.topic + "/" + s.name + ": delayed " + std::to_string(p.delayed) + " ready " + std::to_string(p.ready) + " leased " +
                       std::to_string(p.leased) + " cursor " + std::to_string(p.cursor.value) + " high " + std::to_string(p.high.value) + "; ";
    }
    return out;
}

// ---- changing ----

void admin_client::forget_topic(const std::string& name) {
    if (const auto known = around_.known.topics.extract(name)) around_.judge.topic_forgotten(known.mapped().id);
    for (const auto& s : std::vector(around_.known.subscriptions))
        if (s.topic == name) forget_subscription(s);
}

void admin_client::forget_subscription(const known_subscription& s) {
    around_.judge.subscription_forgotten(s.id);
    described_.erase(s.id);
    std::erase_if(around_.known.subscriptions, [id = s.id](const known_subscription& k) { return k.id == id; });
}

void admin_client::change_something() {
    auto& random = around_.random;
    const auto fleeting = std::find_if(topics_.begin(), topics_.end(), [](const wanted_topic& t) { return !t.stays; });
    const auto none = [](const proto::frame&) {};
    switch (random.below(6)) {
        case 0: {  // a guest leaves
            const auto guest = std::find_if(subscriptions_.begin(), subscriptions_.end(), [&](const auto& s) { return s.guest && known(s); });
            if (guest == subscriptions_.end()) return;
            forget_subscription(*known(*guest));
            guests_from_ = around_.now() + 200ms;
            return ask([&](auto& b) { return wire::CreateDeleteSubscriptionDirect(b, guest->topic.c_str(), guest->name.c_str(), random.chance(800)); }, none);
        }
        case 1: {  // a topic is deleted, and made again
            if (fleeting == topics_.end() || !random.chance(300)) return;
            forget_topic(fleeting->name);
            return ask([&](auto& b) { return wire::CreateDeleteTopicDirect(b, fleeting->name.c_str(), random.chance(900)); },
                       [](const proto::frame& f) { expect(f, {errc::no_such_topic, errc::in_use}); });
        }
        case 2: {
            if (fleeting == topics_.end()) return;
            const auto id = around_.known.topics.at(fleeting->name).id;
            purged_until_[id] = around_.now() + purge_doubt;
            around_.judge.may_skip(id);
            return ask([&](auto& b) { return wire::CreatePurgeTopicDirect(b, fleeting->name.c_str()); },
                       [](const proto::frame& f) { expect(f, {errc::no_such_topic}); });
        }
        case 3: {  // a topic grows
            auto& t = random.pick(topics_);
            if (t.partitions >= 5 || !random.chance(100)) return;
            ++t.partitions;
            return ask(
                [&](auto& b) {
                    const auto name = b.CreateString(t.name);
                    return wire::CreateUpdateTopic(b, name, wire::CreateTopicSettings(b, t.partitions));
                },
                [this, &t](const proto::frame& f) {
                    expect(f, {errc::no_such_topic});
                    if (const auto* info = f.head->message_as_TopicInfo()) learn(t, *info);
                });
        }
        case 4: {  // backoff may only grow here: what was nacked before keeps its time
            auto& s = random.pick(subscriptions_);
            return ask(
                [&](auto& b) {
                    const auto topic = b.CreateString(s.topic);
                    const auto name = b.CreateString(s.name);
                    const auto settings = wire::CreateSubscriptionSettings(b, flatbuffers::nullopt, flatbuffers::nullopt, flatbuffers::nullopt,
                                                                           millis(s.backoff_max + std::chrono::milliseconds{random.below(500)}));
                    return wire::CreateUpdateSubscription(b, topic, name, settings);
                },
                [](const proto::frame& f) { expect(f, {errc::no_such_topic, errc::no_such_subscription}); });
        }
        default:
            return ask([&](auto& b) { return wire::CreateDescribeTopicDirect(b, random.pick(topics_).name.c_str()); },
                       [](const proto::frame& f) { expect(f, {errc::no_such_topic}); });
    }
}

}  // namespace millrace::sim

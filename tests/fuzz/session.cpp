// What clients send to a broker, in any order: requests with any values, and bytes that are none, through the real sessions, driver and core over the
// memory store. Whatever they say, the core's invariants hold after each step, every request is answered once, what is pushed is what was published,
// and the store can be recovered from.
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "broker/driver/driver.hpp"
#include "broker/driver/open_shard.hpp"
#include "broker/server/wire_session.hpp"
#include "broker/storage/memory_store.hpp"
#include "proto/record.hpp"
#include "tests/fuzz/requests.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

proto::record_encoder encoder;  // keeps its memory, as those of clients do

using namespace std::chrono_literals;

class household {
public:
    explicit household(choices& c) : c_(c) {
        settings_.driver.tail_cache_bytes = 1 + c.below(2000);
        settings_.shard.load_blocks = 2;
        settings_.shard.load_bytes = 1 + static_cast<std::uint32_t>(c.below(4000));
        start();
    }

    void act() {
        switch (c_.below(16)) {
            case 0: return hear();
            case 1: return end_session();
            case 2: return bytes();
            case 3: return c_.one_in(8) ? restart() : pass(std::chrono::milliseconds(c_.below(2000)));
            case 4: return c_.one_in(16) ? pass(std::chrono::hours(c_.below(48))) : pass(1ms);
            case 5: driver_->flush(now_); return take();
            case 6: return write_next();
            case 7: return commit_next();
            case 8: return read_next();
            case 9: return scan_next();
            default: return ask();
        }
    }

    /// Everything that can be answered is.
    void come_to_rest() {
        for (int i = 0; i < 60; ++i) {
            settle_io();
            pass(500ms);
        }
        settle_io();
        for (const auto& [id, one] : clients_)
            must(one.is_wild || one.waiting.empty(), "every request is answered", one.waiting.empty() ? "" : wire::EnumNameMessage(one.waiting.begin()->second.kind));
        driver_.reset();
        start();
    }

private:
    struct asked {
        wire::Message kind;
        std::uint32_t consumer = 0;
        std::vector<std::string> payloads{};
        core::partition_id partition{};
    };
    struct client {
        std::unique_ptr<server::wire_session> session;
        proto::frame_decoder decoder{limits::frame_bytes};
        std::map<std::uint64_t, asked> waiting;
        std::map<std::uint32_t, core::topic_id> topics;  // by consumer
        bool is_wild = false;                           // has sent bytes of its own: nothing is expected of its answers
        std::uint64_t last_id = 0;
    };
    struct {
        core::shard_settings shard;
        driver::driver_settings driver;
    } settings_;

    // ---- the broker's life ----

    void start() {
        auto opened = driver::open_shard(*store_, core::shard_id{0}, settings_.shard);
        must(bool(opened), "what was stored can be opened", opened ? error{} : opened.failure());
        epoch_ = opened.value().epoch;
        driver_.emplace(std::move(opened.value().shard), settings_.driver);
        must(driver_->shard().quarantined().empty(), "nobody can make a subscription contradict itself");
        driver_->shard().check();
    }

    void restart() {
        for (auto keep = c_.below(submitted_.size() + 1); keep > 0; --keep) write_next();
        submitted_.clear();
        written_.clear();
        reads_.clear();
        scans_.clear();
        clients_.clear();
        start();
    }

    void take() {
        driver_->shard().check();
        auto todo = driver_->take_actions();
        must(!todo.fatal && todo.closes.empty(), "nobody can break the broker", todo.fatal);
        for (auto& a : todo.answers) if (auto* to = find(a.to.session)) to->session->answer(a);
        for (auto& p : todo.peeks) if (auto* to = find(p.to.session)) to->session->answer(std::move(p));
        for (auto& p : todo.pushes) if (auto* to = find(p.session)) to->session->push(std::move(p));
        for (auto& e : todo.ended) if (auto* to = find(e.session)) to->session->ended(e);
        for (auto& g : todo.commits) submitted_.push_back(std::move(g));
        reads_.insert(reads_.end(), todo.reads.begin(), todo.reads.end());
        scans_.insert(scans_.end(), todo.scans.begin(), todo.scans.end());
        for (auto& [id, one] : clients_) listen(one);
        const auto closing = std::find_if(clients_.begin(), clients_.end(), [](const auto& c) { return c.second.session->closing(); });
        if (closing != clients_.end()) lose(closing->first);  // which takes again
    }

    void write_next() {
        if (submitted_.empty()) return;
        auto group = std::move(submitted_.front());
        submitted_.pop_front();
        error failed;
        store_->commit(core::shard_id{0}, epoch_, std::move(group.mutations), [&](error e) { failed = std::move(e); });
        must(!failed, "the store takes what the core gives", failed);
        written_.push_back(group.number);
    }

    void commit_next() {
        if (written_.empty()) return;
        const auto number = written_.front();
        written_.pop_front();
        driver_->on_committed(now_, number, {});
        take();
    }

    void read_next() {
        if (reads_.empty()) return;
        const auto next = reads_.front();
        reads_.pop_front();
        driver_->on_read(now_, next, store_->read(next.partition, next.from, next.bytes));
        take();
    }

    void scan_next() {
        if (scans_.empty()) return;
        const auto next = scans_.front();
        scans_.pop_front();
        driver_->on_scanned(now_, next, store_->scan(next.range, next.limit));
        take();
    }

    void pass(std::chrono::microseconds time) {
        now_ += time;
        for (auto& [id, one] : clients_)
            if (c_.one_in(8)) one.session->check_time(now_);
        if (const auto due = driver_->next_deadline(); due && *due <= now_) driver_->on_time(now_);
        take();
    }

    void settle_io() {
        for (int i = 0; !driver_->idle() || !submitted_.empty() || !written_.empty() || !reads_.empty() || !scans_.empty(); ++i) {
            must(i < 100'000, "reads and commits come to an end");
            driver_->flush(now_);
            take();
            write_next();
            commit_next();
            read_next();
            scan_next();
        }
    }

    // ---- what clients do ----

    client* find(core::session_id id) {
        const auto it = clients_.find(id);
        return it == clients_.end() ? nullptr : &it->second;
    }

    client* any() {
        if (clients_.empty()) hear();
        auto it = clients_.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(c_.below(clients_.size())));
        return &it->second;
    }

    /// Somebody connects, and mostly says who he is.
    void hear() {
        if (clients_.size() > 3) return;
        const core::session_id id{++last_session_};
        server::session_settings s;
        s.level = durability::memory;
        s.epoch = epoch_;
        s.key = 1000 + last_session_;
        s.unread_records_bytes = 64u << 10;  // a client that reads everything at once is never near it
        s.publish_messages = 1000;
        auto& one = clients_[id];
        one.session = std::make_unique<server::wire_session>(id, s, now_);
        if (c_.one_in(16)) return;
        const auto former = c_.one_in(4) ? c_.below(last_session_ + 1) : 0;
        send(one, 0, wire::CreateHello(builder_, 1, 1, 0, 0, 0, former, former == 0 ? 0 : 1000 + former));
    }

    void end_session() {
        if (!clients_.empty()) lose(any()->session->id());
    }

    void lose(core::session_id id) {
        if (clients_.erase(id) == 0) return;
        driver_->submit(now_, core::input::session_lost{id});
        take();
    }

    void bytes() {
        auto& one = *any();
        one.is_wild = true;
        receive(one, bytes_of(c_.bytes(400)));
    }

    void ask() {
        auto& one = *any();
        if (!one.session->greeted() && !c_.one_in(32)) return;
        if (c_.one_in(4)) return publish(one);
        const auto kind = any_request(c_);
        const auto id = kind == wire::Message::Start || kind == wire::Message::Credit ? 0 : ++one.last_id;
        std::vector<std::byte> frame;
        const auto consumer = append_request(c_, builder_, kind, id, frame);
        if (id != 0) one.waiting[id] = {kind, consumer};
        receive(one, frame);
    }

    void publish(client& one) {
        asked batch{wire::Message::Publish, 0, {}, {core::topic_id{static_cast<std::uint32_t>(1 + c_.below(4))}, static_cast<std::uint32_t>(c_.below(3))}};
        std::vector<std::byte> records;
        for (auto count = c_.one_in(16) ? c_.below(300) : c_.below(4); count > 0; --count) {
            message m;
            m.payload = std::to_string(++last_payload_) + std::string(c_.one_in(4) ? c_.below(2000) : 0, 'x');
            must(!encoder.append(m, proto::compression::none, records), "a message can be encoded");
            batch.payloads.push_back(m.payload);
        }
        const auto announced = static_cast<std::uint32_t>(c_.one_in(16) ? c_.number() : batch.payloads.size());
        const auto producer = c_.one_in(2) ? 1 + c_.below(3) : 0;
        const auto id = ++one.last_id;
        const auto demanded = static_cast<wire::Durability>(c_.one_in(16) ? c_.below(256) : 0);
        const auto epoch = producer ? static_cast<std::uint32_t>(c_.below(4)) : 0;
        const auto number = producer ? c_.below(8) : 0;
        const auto table = wire::CreatePublish(builder_, static_cast<std::uint32_t>(batch.partition.topic), batch.partition.index, announced, demanded,
                                               producer, epoch, number);
        one.waiting[id] = std::move(batch);
        std::vector<std::byte> frame;
        proto::append_frame(builder_, id, table, records.size(), frame);
        frame.insert(frame.end(), records.begin(), records.end());
        receive(one, frame);
    }

    template <class Table>
    void send(client& one, std::uint64_t id, flatbuffers::Offset<Table> table) {
        std::vector<std::byte> frame;
        proto::append_frame(builder_, id, table, 0, frame);
        receive(one, frame);
    }

    void receive(client& one, std::span<const std::byte> bytes) {
        const auto id = one.session->id();
        while (!bytes.empty()) {
            if (one.session->closing()) break;
            std::size_t count = 0;
            if (static_cast<std::uint64_t>(one.session->id()) % 2 == 0) {
                count = std::min<std::size_t>(100, bytes.size());
                one.session->received(now_, bytes.first(count));
            } else {
                const auto room = one.session->prepare();
                count = std::min(room.size(), bytes.size());
                std::copy_n(bytes.begin(), count, room.begin());
                one.session->received(now_, count);
            }
            bytes = bytes.subspan(count);
            while (auto r = one.session->next()) perform(*r, id);
        }
        take();
    }

    void perform(const server::request& r, core::session_id heir) {
        if (const auto* former = std::get_if<server::former_session>(&r)) {
            auto* before = find(former->id);
            if (!before || former->id == heir || !before->session->is_known_by(former->key)) return;
            before->session->close({errc::connection_lost, "its client has come back"});  // goes with the next take()
            return;
        }
        if (const auto* p = std::get_if<driver::publish_request>(&r)) driver_->publish(now_, *p);
        else driver_->submit(now_, std::get<core::any_input>(r));
    }

    // ---- what clients hear ----

    void listen(client& one) {
        while (one.session->has_output()) {
            const auto out = one.session->take_output();
            for (const auto& p : out.pieces) {
                const auto piece = p.slice.empty() ? std::span(out.buffer).subspan(p.offset, p.size) : p.slice;
                one.decoder.append(piece);
            }
        }
        for (proto::frame f;;) {
            const auto status = one.decoder.next(f);
            must(status != proto::frame_decoder::status::failed, "a broker sends frames", one.decoder.failure());
            if (status == proto::frame_decoder::status::need_more) break;
            hear(one, f);
        }
        must(one.decoder.buffered_bytes() == 0, "a broker sends whole frames");
    }

    void hear(client& one, const proto::frame& f) {
        const auto kind = f.head->message_type();
        if (kind == wire::Message::Goodbye) {
            const auto code = static_cast<errc>(f.head->message_as_Goodbye()->code());
            must(one.is_wild || code != errc::slow_reader, "who reads everything is no slow reader");
            must(one.is_wild || !one.session->greeted() || code == errc::idle_timeout || code == errc::connection_lost || code == errc::credit_exceeded,
                 "nobody is sent away for what he may do", millrace::name_of(code));
            return;
        }
        if (kind == wire::Message::Deliver) return delivered(one, *f.head->message_as_Deliver(), f.body);
        if (one.is_wild || f.head->id() == 0) return;
        const auto it = one.waiting.find(f.head->id());
        must(it != one.waiting.end(), "an answer was asked for, once", wire::EnumNameMessage(kind));
        const auto question = std::move(it->second);
        one.waiting.erase(it);
        if (kind == wire::Message::Published) published(question, f.head->message_as_Published()->first());
        if (kind == wire::Message::Subscribed) one.topics[question.consumer] = core::topic_id{f.head->message_as_Subscribed()->topic()};
        if (kind == wire::Message::Peeked) peeked(*f.head->message_as_Peeked(), f.body);
        if (kind == wire::Message::SubscriptionInfo) balanced(*f.head->message_as_SubscriptionInfo());
    }

    void published(const asked& batch, std::uint64_t first) {
        for (std::size_t i = 0; i < batch.payloads.size(); ++i)
            must(content_.emplace(std::pair(batch.partition, first + i), batch.payloads[i]).second, "a sequence is given once");
    }

    void delivered(const client& one, const wire::Deliver& d, std::span<const std::byte> body) {
        must(d.runs() != nullptr && d.runs()->size() > 0, "a push pushes something");
        const auto consumer = one.topics.find(d.consumer());
        for (const auto* r : *d.runs()) body = look_at(*r, body, consumer == one.topics.end() ? std::nullopt : std::optional(consumer->second));
        must(body.empty(), "a push has no bytes left over");
    }

    void peeked(const wire::Peeked& p, std::span<const std::byte> body) {
        if (p.runs())
            for (const auto* r : *p.runs()) {
                must(r->first() >= p.start() && r->first() + r->count() <= p.high(), "what is shown is there");
                body = look_at(*r, body, std::nullopt);
            }
        must(body.empty(), "an answer has no bytes left over");
    }

    /// `topic`: whose messages these are, where that is known.
    std::span<const std::byte> look_at(const wire::Run& r, std::span<const std::byte> body, std::optional<core::topic_id> topic) {
        must(r.bytes() <= body.size() && r.count() > 0, "a run has its bytes");
        auto records = body.first(r.bytes());
        for (std::uint32_t i = 0; i < r.count(); ++i) {
            const auto length = proto::record_length(records);
            message m;
            must(length && !proto::decode_record(records.first(*length), m), "what is pushed are records");
            records = records.subspan(*length);
            if (!topic) continue;
            const auto known = content_.find({{*topic, r.partition()}, r.first() + i});
            must(known == content_.end() || known->second == m.payload, "what is pushed was published there", m.payload);
        }
        must(records.empty(), "a run has as many records as it says");
        return body.subspan(r.bytes());
    }

    static void balanced(const wire::SubscriptionInfo& s) {
        if (!s.partitions()) return;
        for (const auto* p : *s.partitions())
            must(p->published() == p->acked() + p->dead() + p->parked() + p->expired() + p->skipped() + p->delayed() + p->ready() + p->leased(),
                 "published is the sum of all states");
    }

    choices& c_;
    timestamp now_{std::chrono::hours{400'000}};
    std::unique_ptr<storage::store> store_ = storage::make_memory_store();
    core::fencing_epoch epoch_{};
    std::optional<driver::driver> driver_;
    std::deque<core::group> submitted_;
    std::deque<core::group_number> written_;
    std::deque<driver::read_request> reads_;
    std::deque<driver::scan_request> scans_;
    std::map<core::session_id, client> clients_;
    std::map<std::pair<core::partition_id, std::uint64_t>, std::string> content_;  // that was answered for
    flatbuffers::FlatBufferBuilder builder_;
    std::uint64_t last_session_ = 0;
    std::uint64_t last_payload_ = 0;
};

}  // namespace

void session(input in) {
    choices c(in);
    household all(c);
    while (!c.ended()) all.act();
    all.come_to_rest();
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(session)

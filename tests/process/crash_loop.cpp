// millrace-crash-loop: kills a broker under load again and again, and checks that it keeps every promise it gave.
//
// A cycle: start the broker, compare its numbers with the ledger, let producers and consumers work, kill -9 at a random moment. Now and then it is
// killed while it starts. After the last cycle everything is consumed. Producers and consumers run on this one thread; so does the kill.
//
// They are new in each cycle. Beside them workers live through all cycles, with handlers that run on while the broker is away (crash_workers.hpp).
#include <signal.h>

#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iostream>
#include <random>

#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"
#include "tests/process/crash_ledger.hpp"
#include "tests/process/crash_workers.hpp"

namespace millrace::process {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
using random_source = std::mt19937_64;

const std::string topic = "crash";
constexpr std::uint32_t partitions = 3;
constexpr std::array<const char*, subscriptions> subscription_names{"left", "right"};

struct options {
    std::uint32_t cycles = 5;
    std::uint64_t seed = 1;
    std::uint32_t producers = 4;
    std::uint32_t consumers = 4;
    std::uint32_t workers = 3;
    std::uint64_t backlog = 100'000;
    std::string store;
    std::string broker = MILLRACED_PATH;
    bool forget_unsynced = false;
};

std::uint64_t between(random_source& random, std::uint64_t least, std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
}

/// What the coroutines of one life of the broker share.
struct cycle {
    asio::io_context io{1};
    std::string server;
    crash_ledger& ledger;
    std::uint64_t backlog = 0;
    bool over = false;      // the broker is gone, or everybody shall stop
    bool draining = false;  // consumers ack everything and stay
    int running = 0;

    /// A failure while the broker lives is its fault.
    bool ended(const boost::system::error_code& failed, const char* doing) {
        if (failed && !over) ledger.violate(std::string(doing) + " failed while the broker ran: " + failed.message());
        return over || failed;
    }

    /// The consumers are so far behind that producers rest: else most of the time would go into the last drain.
    bool is_far_ahead() const {
        const auto& s = ledger.sums();
        return s.answered * subscriptions > s.acked + backlog * subscriptions;
    }

    client::connection_settings settings(const char* name) const {
        client::connection_settings s;
        s.server = server;
        s.name = name;
        s.reconnect.enabled = false;  // nothing is sent twice: one message, one place
        return s;
    }
};

// ---- producers ----

struct under_way {
    asio::steady_timer changed;
    std::size_t count = 0;
    bool failed = false;
};

void publish_one(cycle& c, client::connection& broker, under_way& sent) {
    auto m = c.ledger.new_message();
    const auto id = crash_ledger::id_of(m);
    ++sent.count;
    broker.async_publish(topic, std::move(m), [&c, &sent, id](boost::system::error_code failed, client::receipt r) {
        --sent.count;
        sent.changed.cancel();
        if (failed) sent.failed = c.ended(failed, "a publish") || sent.failed;
        else c.ledger.publish_answered(id, {r.partition, r.sequence});
    });
}

asio::awaitable<void> produce(cycle& c, random_source random) {
    client::connection broker(c.io.get_executor(), c.settings("producer"));
    const auto [refused, about] = co_await broker.async_connect(as_result);
    if (c.ended(refused, "connecting")) co_return;
    under_way sent{asio::steady_timer(c.io, asio::steady_timer::time_point::max())};
    const auto window = between(random, 1, 64);
    while (!c.over && !sent.failed) {
        while (sent.count < window && !c.is_far_ahead()) publish_one(c, broker, sent);
        if (sent.count > 0) co_await sent.changed.async_wait(as_result);
        if (sent.count > 0 && between(random, 0, 9) > 0) continue;
        asio::steady_timer pause(c.io, milliseconds(between(random, 0, 5)));  // so that groups are of all sizes
        co_await pause.async_wait(as_result);
    }
    while (sent.count > 0) co_await sent.changed.async_wait(as_result);
}

// ---- consumers ----

/// Acks given and not answered yet.
using given_acks = std::map<place, message_id>;

void take(cycle& c, std::size_t subscription, random_source& random, client::consumer& from, const client::delivery& d, session_order& order,
          given_acks& given) {
    const auto id = c.ledger.delivered(subscription, d, order);
    const auto choice = c.draining ? 99 : between(random, 0, 99);
    if (!id || choice < 3) return;  // it stays in our hands
    if (choice < 6) return from.set_aside(d);
    from.ack(d);
    given.emplace(place{d.partition, d.sequence}, *id);
}

void note_settled(cycle& c, std::size_t subscription, const client::settlement& settled, given_acks& given) {
    for (const auto& lost : settled.lost)
        given.erase(given.lower_bound({lost.partition, lost.first}), given.upper_bound({lost.partition, lost.last}));
    for (const auto& [at, id] : given) c.ledger.ack_answered(subscription, id);
    given.clear();
}

/// One session: until it has had enough, or the broker dies.
asio::awaitable<void> consume_once(cycle& c, std::size_t subscription, random_source& random) {
    client::connection broker(c.io.get_executor(), c.settings("consumer"));
    const auto [refused, about] = co_await broker.async_connect(as_result);
    if (c.ended(refused, "connecting")) co_return;
    client::subscribe_options wanted;
    wanted.credit_messages = c.draining ? 1000 : static_cast<std::uint32_t>(between(random, 1, 500));
    auto [not_opened, consumer] = co_await broker.async_subscribe(topic, subscription_names[subscription], wanted, as_result);
    if (c.ended(not_opened, "subscribing")) co_return;

    session_order order;
    given_acks given;
    auto enough = c.draining ? ~std::uint64_t{0} : between(random, 1, 5000);
    while (!c.over) {
        const auto [failed, batch] = co_await consumer.async_receive(as_result);
        if (failed && c.ended(failed, "receiving")) co_return;
        for (const auto& d : batch.deliveries) take(c, subscription, random, consumer, d, order, given);
        if (enough < batch.deliveries.size()) break;
        enough -= batch.deliveries.size();
        if (!c.draining && between(random, 0, 2) == 0) continue;
        const auto [unsettled, settled] = co_await consumer.async_settle(as_result);
        if (c.ended(unsettled, "acking")) co_return;
        note_settled(c, subscription, settled, given);
    }
    if (between(random, 0, 1) == 0) co_await broker.async_close(as_result);  // else it is gone without a word
}

asio::awaitable<void> consume(cycle& c, std::size_t subscription, random_source random) {
    while (!c.over) co_await consume_once(c, subscription, random);
}

// ---- lives of the broker ----

void start(cycle& c, asio::awaitable<void> work) {
    ++c.running;
    asio::co_spawn(c.io, std::move(work), [&c](std::exception_ptr thrown) {
        --c.running;
        if (thrown) std::rethrow_exception(thrown);
    });
}

void start_consumers(cycle& c, const options& o, random_source& random) {
    for (std::uint32_t i = 0; i < o.consumers; ++i) start(c, consume(c, i % subscriptions, random_source(random())));
}

/// Runs the loop until everybody is done. False when somebody hangs.
bool finish(cycle& c, milliseconds at_most) {
    const auto give_up = std::chrono::steady_clock::now() + at_most;
    while (c.running > 0 && std::chrono::steady_clock::now() < give_up) c.io.run_one_for(100ms);
    if (c.running > 0) c.ledger.violate(std::to_string(c.running) + " producers or consumers hang after the broker has gone");
    return c.running == 0;
}

class crash_loop {
public:
    explicit crash_loop(const options& o) : options_(o), random_(o.seed), ledger_(o.seed) {
        if (options_.store.empty()) options_.store = (scratch_.path() / "store").string();
    }

    bool run() {
        create();
        for (std::uint32_t i = 0; i < options_.cycles && violations() == 0; ++i)
            if (!one_cycle()) return report();
        drain();
        return report();
    }

private:
    std::vector<std::string> arguments() const {
        return {"--store", "rocksdb:" + options_.store, "--log-level", "info", "--listen", address_, "--admin", "none"};
    }

    /// Always at the same place, so that the workers find it again.
    broker_process open() {
        const auto before = std::chrono::steady_clock::now();
        broker_process broker(arguments(), options_.broker);
        ready_max_ = std::max(ready_max_, std::chrono::ceil<milliseconds>(std::chrono::steady_clock::now() - before));
        address_ = broker.address();
        return broker;
    }

    void create() {
        auto broker = open();
        blocking_client admin(broker.address());
        admin.create_topic(topic, {.partitions = partitions});
        for (const auto* name : subscription_names) admin.create_subscription(topic, name);
        if (options_.workers == 0) return;
        crash_workers::create(admin);
        workers_.emplace(broker.address(), options_.workers);
        kill(broker);
    }

    void kill(broker_process& broker) {
        if (workers_) workers_->broker_killed();
        broker.kill();
    }

    std::uint64_t violations() const { return ledger_.sums().violations + (workers_ ? workers_->sums().violations : 0); }

    void compare(const broker_process& broker) {
        blocking_client admin(broker.address());
        for (std::size_t s = 0; s < subscriptions; ++s) ledger_.described(s, admin.describe(topic, subscription_names[s]));
    }

    void kill_while_it_starts() {
        child_process broker(options_.broker, arguments());
        if (!broker.wait(milliseconds(between(random_, 0, 60)))) broker.kill();
    }

    bool one_cycle() {
        if (between(random_, 0, 4) == 0) kill_while_it_starts();
        auto broker = open();
        compare(broker);
        cycle c{.server = broker.address(), .ledger = ledger_, .backlog = options_.backlog};
        for (std::uint32_t i = 0; i < options_.producers; ++i) start(c, produce(c, random_source(random_())));
        start_consumers(c, options_, random_);
        // Old messages are held back for two seconds, for those who may come back for them: half of the cycles see them given and acked.
        asio::steady_timer moment(c.io, milliseconds(between(random_, 50, 4000)));
        moment.async_wait([&](const boost::system::error_code&) {
            c.over = true;
            kill(broker);
        });
        const bool finished = finish(c, patience);
        if (violations() > 0) std::cerr << "the broker said:\n" << broker.process().errors();
        return finished;
    }

    /// Everybody acks everything that comes, until nothing is left or nothing moves any more.
    void drain() {
        acked_before_drain_ = ledger_.sums().acked;
        auto broker = open();
        compare(broker);
        cycle c{.server = broker.address(), .ledger = ledger_, .draining = true};
        start_consumers(c, options_, random_);
        start(c, watch_drain(c));
        const auto before = std::chrono::steady_clock::now();
        const bool finished = finish(c, std::chrono::hours{1});  // watch_drain() notices when nothing moves
        drained_in_ = std::chrono::ceil<milliseconds>(std::chrono::steady_clock::now() - before);
        if (workers_) finish_workers(broker);
        if (violations() > 0) std::cerr << "the broker said:\n" << broker.process().errors();
        if (!finished) return;
        ledger_.drained();
        if (const auto code = broker.stop(); code != 0) ledger_.violate("the broker ended with " + std::to_string(code));
    }

    void finish_workers(const broker_process& broker) {
        blocking_client admin(broker.address());
        workers_->finish(admin);
    }

    asio::awaitable<void> watch_drain(cycle& c) {
        client::connection admin(c.io.get_executor(), c.settings("admin"));
        const auto [refused, about] = co_await admin.async_connect(as_result);
        if (c.ended(refused, "connecting")) co_return;
        auto delivered = ledger_.sums().delivered;
        auto moved_at = std::chrono::steady_clock::now();
        std::uint64_t left = 1;
        while (left > 0) {
            asio::steady_timer pause(c.io, 50ms);
            co_await pause.async_wait(as_result);
            left = 0;
            for (const auto* name : subscription_names) {
                const auto [failed, d] = co_await admin.async_describe_subscription(topic, name, as_result);
                if (c.ended(failed, "describing")) co_return;
                for (const auto& p : d.partitions) left += p.published - p.acked;
            }
            const auto now = std::chrono::steady_clock::now();
            if (std::exchange(delivered, ledger_.sums().delivered) != delivered) moved_at = now;
            if (now - moved_at > patience / 2) {
                ledger_.violate(std::to_string(left) + " messages stay and do not come");
                break;
            }
        }
        c.over = true;
        admin = client::connection(c.io.get_executor());
        c.io.stop();  // consumers wait for more; there is none
        c.running = 0;
    }

    bool report() const {
        const auto& s = ledger_.sums();
        std::cout << "crash loop" << (options_.forget_unsynced ? ", unsynced writes forgotten" : "") << ": seed " << options_.seed << ", "
                  << options_.cycles << " cycles, " << s.published << " published, " << s.answered << " answered, " << s.found_unanswered
                  << " found unanswered, " << s.delivered << " delivered, " << s.again << " of them again, " << s.acked << " acks answered, "
                  << acked_before_drain_ << " of them before the last kill, ready in "
                  << ready_max_.count() << " ms at most, drained in " << drained_in_.count() << " ms, " << violations() << " violations\n";
        if (workers_) report_workers();
        return violations() == 0;
    }

    void report_workers() const {
        const auto s = workers_->sums();
        std::cout << "workers through all of it: " << s.begun << " jobs begun of " << s.published << ", " << s.ended << " done, " << s.survivors
                  << " of them while the broker was killed, one through " << s.kills_survived << " kills, " << workers_->unknown_outcomes()
                  << " whose answer was lost with the broker, " << s.violations << " violations\n";
    }

    options options_;
    scratch_directory scratch_;
    random_source random_;
    crash_ledger ledger_;
    std::optional<crash_workers> workers_;
    std::string address_ = "127.0.0.2:0";  // nobody's outgoing connection takes a port there
    std::uint64_t acked_before_drain_ = 0;
    milliseconds ready_max_{0};
    milliseconds drained_in_{0};
};

}  // namespace
}  // namespace millrace::process

int main(int argc, char** argv) {
    using namespace millrace::process;
    options o;
    CLI::App app("Kills a broker under load and checks that it keeps what it promised", "millrace-crash-loop");
    app.add_option("--cycles", o.cycles, "how often it is killed")->capture_default_str();
    app.add_option("--seed", o.seed, "of everything that is chosen here; what the machine does in between is not")->capture_default_str();
    app.add_option("--producers", o.producers, "producers")->capture_default_str();
    app.add_option("--consumers", o.consumers, "consumers, of two subscriptions in turn; at least 2")->capture_default_str()->check(CLI::Range(2, 1000));
    app.add_option("--workers", o.workers, "workers that live through every kill, with two threads each")->capture_default_str();
    app.add_option("--backlog", o.backlog, "producers rest while a subscription has so many messages unacked")->capture_default_str();
    app.add_option("--store", o.store, "folder of the store, without a topic 'crash'; default: one that is made and removed");
    app.add_flag("--forget-unsynced", o.forget_unsynced, "a killed broker loses what no sync has covered, as in a power cut");
    app.add_option("--broker", o.broker, "the millraced to run");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    if (o.forget_unsynced && app.count("--broker") == 0) o.broker = MILLRACED_FORGETFUL_PATH;
    std::cout << "seed " << o.seed << std::endl;
    try {
        return crash_loop(o).run() ? 0 : 1;
    } catch (const std::exception& e) {
        std::cerr << "millrace-crash-loop: " << e.what() << '\n';
        return 1;
    }
}

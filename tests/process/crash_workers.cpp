#include "tests/process/crash_workers.hpp"

#include <boost/asio/post.hpp>

namespace millrace::process {
namespace {

namespace asio = boost::asio;

const std::string topic = "jobs";
const std::string subscription = "work";
constexpr std::uint32_t concurrency = 2;
constexpr std::uint64_t waiting_jobs = 2 * concurrency;  // for each worker, so that whatever is lost finds a taker at once
constexpr auto visibility_timeout = 2s;                  // less than a handler runs: its lease lives by being renewed

/// From less than a restart to three visibility timeouts over several of them.
milliseconds length_of(job_id id) { return milliseconds(300 + id * 379 % 2'700); }

client::connection_settings settings(const std::string& server, const std::string& name, const std::string& producer = {}) {
    client::connection_settings s;
    s.server = server;
    s.name = name;
    s.producer = producer;
    return s;
}

}  // namespace

void crash_workers::create(blocking_client& admin) {
    admin.create_topic(topic, {.partitions = 2});
    // A message that was lost is given to the next who asks: nothing of a failure may hide it.
    admin.create_subscription(topic, subscription, {.visibility_timeout = visibility_timeout, .max_deliveries = 0, .backoff_min = 1ms, .backoff_max = 1ms});
}

crash_workers::worker_process::worker_process(crash_workers& all, const std::string& server, std::string its_name)
    : name(std::move(its_name)),
      broker(all.io_.get_executor(), settings(server, name)),
      worker(broker, topic, subscription, {.concurrency = concurrency, .name = name},
             [&all, this](const client::delivery& d) { return all.work(name, d); }) {}

crash_workers::crash_workers(const std::string& server, std::uint32_t workers) : feeder_(io_.get_executor(), settings(server, "feeder", "feeder")) {
    for (std::uint32_t i = 0; i < workers; ++i) workers_.push_back(std::make_unique<worker_process>(*this, server, "worker " + std::to_string(i)));
    asio::post(io_, [this] { connect(); });
    thread_ = std::thread([this, busy = asio::make_work_guard(io_)] { io_.run(); });
    // Each takes no more than it has threads for.
    if (ledger_.wait_until([&](const auto& sums) { return sums.begun >= workers * concurrency; })) return;
    io_.stop();
    thread_.join();
    throw std::runtime_error("the workers do not begin");
}

crash_workers::~crash_workers() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
}

void crash_workers::connect() {
    for (const auto& w : workers_)
        w->broker.async_connect([this, &w = *w](boost::system::error_code failed, const client::broker_description& about) {
            if (failed) return ended(w, failed, {.refusal = about.refusal});
            w.worker.async_run([this, &w](boost::system::error_code code, const client::worker_report& report) { ended(w, code, report); });
        });
    feeder_.async_connect([this](boost::system::error_code failed, const client::broker_description& about) {
        if (failed) return ledger_.violate("the feeder cannot connect: " + about.refusal);
        feed();
    });
}

/// A named producer: whatever happens to the broker, each job is there once.
void crash_workers::feed() {
    while (feeding_ && ledger_.sums().unfinished() < workers_.size() * (concurrency + waiting_jobs))
        feeder_.async_publish(topic, ledger_.new_job(), [this](boost::system::error_code failed, const client::receipt& r) {
            if (failed) return ledger_.violate("a job was not published: " + failed.message() + " (" + r.refusal + ")");
            ledger_.publish_answered();
        });
}

client::outcome crash_workers::work(const std::string& worker, const client::delivery& d) {
    const auto id = ledger_.begin(d, worker);
    std::this_thread::sleep_for(length_of(id));  // the work
    ledger_.end(id);
    asio::post(io_, [this] { feed(); });
    return client::outcome::ack();
}

void crash_workers::ended(worker_process& w, boost::system::error_code failed, const client::worker_report& report) {
    if (failed) ledger_.violate(w.name + " ended: " + failed.message() + " (" + report.refusal + ")");
    unknown_ += report.lost;
    acked_ += report.acked;
    if (++over_ == workers_.size()) all_over_.set_value();
}

void crash_workers::finish(blocking_client& admin) {
    asio::post(io_, [this] { feeding_ = false; });
    if (!ledger_.wait_until([](const auto& sums) { return sums.unfinished() == 0 && sums.answered == sums.published; })) {
        const auto sums = ledger_.sums();
        ledger_.violate(std::to_string(sums.unfinished()) + " jobs are not done, and " + std::to_string(sums.published - sums.answered) + " not answered");
    }
    for (const auto& w : workers_) w->worker.drain();
    if (all_over_.get_future().wait_for(patience) != std::future_status::ready) ledger_.violate("the workers do not end");
    io_.stop();
    thread_.join();
    if (acked_ != ledger_.sums().begun) ledger_.violate("the workers report " + std::to_string(acked_) + " of " + std::to_string(ledger_.sums().begun));
    ledger_.described(admin.describe(topic, subscription));
}

}  // namespace millrace::process

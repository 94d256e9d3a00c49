#include <algorithm>
#include <exception>

#include <boost/asio/post.hpp>

#include "client/worker_core.hpp"

namespace millrace::client {
namespace {

moment now() { return std::chrono::steady_clock::now(); }

outcome run_guarded(const worker::handler& work, const delivery& d) {
    try {
        return work(d);
    } catch (const std::exception& thrown) {
        return outcome::nack(thrown.what());
    } catch (...) {
        return outcome::nack("the handler threw something that is no std::exception");
    }
}

}  // namespace

worker_core::worker_core(connection& broker, std::string topic, std::string subscription, worker_options options, worker::handler work)
    : executor_(broker.get_executor()),
      broker_(broker),
      topic_(std::move(topic)),
      subscription_(std::move(subscription)),
      options_(std::move(options)),
      work_(std::move(work)),
      threads_(std::max(options_.concurrency, 1u)),
      renewal_(executor_),
      end_(executor_) {
    options_.concurrency = std::max(options_.concurrency, 1u);
}

void worker_core::run(completion<worker_report> done) {
    done_ = std::move(done);
    if (stopping_) return finish_if_idle();
    subscribing_ = true;
    subscribe_options wanted;
    wanted.credit_messages = options_.credit_messages.value_or(2 * options_.concurrency);
    wanted.credit_bytes = options_.credit_bytes;
    wanted.name = options_.name;
    broker_.async_subscribe(topic_, subscription_, wanted, [self = shared_from_this()](boost::system::error_code failed, consumer opened) {
        if (self->abandoned_) return;
        self->subscribing_ = false;
        if (failed && self->stopping_) return self->finish_if_idle();
        if (failed) return self->stop(failed, opened.refusal());
        self->consumer_ = std::move(opened);
        self->consumer_.on_leases_lost([weak = self->weak_from_this()](const std::vector<lost_range>& ranges) {
            if (const auto core = weak.lock()) core->note_lost(ranges);
        });
        self->renew_every_ = self->consumer_.visibility_timeout() / 3;
        self->handler_timeout_ = self->options_.handler_timeout.value_or(10 * self->consumer_.visibility_timeout());
        if (self->stopping_) return self->finish_if_idle();
        self->receive();
    });
}

void worker_core::receive() {
    consumer_.async_receive([self = shared_from_this()](boost::system::error_code failed, received batch) {
        self->on_received(failed, std::move(batch));
    });
}

void worker_core::on_received(boost::system::error_code failed, received batch) {
    if (abandoned_ || stopping_) return;
    if (failed) return stop(failed, std::move(batch.refusal));
    std::move(batch.deliveries.begin(), batch.deliveries.end(), std::back_inserter(waiting_));
    begin_jobs();
    receive();
}

// ---- one message -----------------------------------------------------------------------------------------------------------

void worker_core::begin_jobs() {
    while (!waiting_.empty() && running_.size() < options_.concurrency) {
        auto next = std::move(waiting_.front());
        waiting_.pop_front();
        begin(std::move(next));
    }
}

void worker_core::begin(delivery d) {
    // The connection was lost since it came: it is not this consumer's any more.
    if (!consumer_.start(d)) return;
    const auto number = ++last_job_;
    const auto content = std::make_shared<const delivery>(std::move(d));
    const auto started = now();
    running_.emplace(number, job{content, started, started + renew_every_});
    watch_renewals();
    boost::asio::post(threads_, [self = shared_from_this(), content, number] {
        auto result = run_guarded(self->work_, *content);
        boost::asio::post(self->executor_, [self, number, result = std::move(result)] { self->on_outcome(number, result); });
    });
}

void worker_core::on_outcome(std::uint64_t number, const outcome& result) {
    if (abandoned_) return;
    const auto finished = running_.extract(number);
    hand_in(*finished.mapped().content, result);
    if (stopping_) return finish_if_idle();
    begin_jobs();
}

void worker_core::hand_in(const delivery& d, const outcome& result) {
    switch (result.what) {
        case outcome::kind::ack: ++report_.acked; return consumer_.ack(d);
        case outcome::kind::nack: ++report_.nacked; return consumer_.nack(d, result.reason);
        case outcome::kind::reject: ++report_.rejected; return consumer_.reject(d, result.reason);
    }
}

/// Nobody can be told to stop: the handlers run on, and the settlement names their outcomes as too late.
void worker_core::note_lost(const std::vector<lost_range>& ranges) {
    for (auto& [number, j] : running_) {
        const auto& d = *j.content;
        const auto covers = [&](const lost_range& r) {
            return r.partition == d.partition && r.attempt == d.attempt && r.first <= d.sequence && d.sequence <= r.last;
        };
        if (std::any_of(ranges.begin(), ranges.end(), covers)) j.renew_at = never;
    }
}

// ---- leases ----------------------------------------------------------------------------------------------------------------

void worker_core::renew(moment at) {
    for (auto& [number, j] : running_) {
        if (j.renew_at > at) continue;
        const bool too_long = at - j.started >= handler_timeout_;
        j.renew_at = too_long ? never : at + renew_every_;
        if (!too_long) extend(number);
    }
    watch_renewals();
}

/// A lease that is lost or as old as it may get is left alone; a connection that is away for a while is no reason to give up.
void worker_core::extend(std::uint64_t number) {
    consumer_.async_extend(*running_.at(number).content, [self = shared_from_this(), number](boost::system::error_code failed, settlement answered) {
        const auto extended = self->running_.find(number);
        if (extended == self->running_.end()) return;
        const bool ends = failed == make_error_code(errc::lease_lost) || failed == make_error_code(errc::lease_limit);
        if (ends || !answered.lost.empty()) extended->second.renew_at = never;
    });
}

void worker_core::watch_renewals() {
    auto next = never;
    for (const auto& [number, j] : running_) next = std::min(next, j.renew_at);
    if (next == renewal_.expiry() && next > now()) return;
    renewal_.expires_at(next);
    if (next == never) return;
    renewal_.async_wait([self = shared_from_this()](boost::system::error_code canceled) {
        if (!canceled && !self->abandoned_) self->renew(now());
    });
}

// ---- the end -----------------------------------------------------------------------------------------------------------------

void worker_core::drain() {
    if (!abandoned_) stop({}, {});
}

void worker_core::stop(boost::system::error_code failed, std::string refusal) {
    if (std::exchange(stopping_, true)) return;
    note_failure(failed, std::move(refusal));
    waiting_.clear();
    if (consumer_) consumer_.stop();
    finish_if_idle();
}

void worker_core::note_failure(boost::system::error_code failed, std::string refusal) {
    if (!failed || failed_) return;
    failed_ = failed;
    report_.refusal = std::move(refusal);
}

void worker_core::finish_if_idle() {
    if (!done_ || subscribing_ || !running_.empty() || finishing_) return;
    finishing_ = true;
    renewal_.cancel();
    if (!consumer_) return complete();
    limit_the_end();
    consumer_.async_settle([self = shared_from_this()](boost::system::error_code failed, settlement settled) {
        if (self->abandoned_) return;
        for (const auto& range : settled.lost) self->report_.lost += range.last - range.first + 1;
        self->note_failure(failed, std::move(settled.refusal));
        self->consumer_.async_close([self](boost::system::error_code, client::done) { self->complete(); });
    });
}

/// A connection that is lost comes back for as long as it takes; who was told to end waits so long and no longer.
void worker_core::limit_the_end() {
    end_.expires_after(options_.drain_timeout);
    end_.async_wait([self = shared_from_this()](boost::system::error_code canceled) {
        if (canceled || self->abandoned_) return;
        self->note_failure(make_error_code(errc::timed_out), "the broker has not answered for " + std::to_string(self->options_.drain_timeout.count()) +
                                                                 " ms since the last handler ended: what it did not answer may come again");
        self->complete();
    });
}

void worker_core::complete() {
    end_.cancel();
    if (abandoned_) return;
    boost::asio::post(executor_, [self = shared_from_this()] {
        auto done = std::move(self->done_);
        if (done) done(self->failed_, std::move(self->report_));
    });
}

void worker_core::abandon() {
    abandoned_ = true;
    renewal_.cancel();
    end_.cancel();
    threads_.join();
    consumer_ = {};
    if (done_) {
        report_.refusal = "the worker was destroyed";
        boost::asio::post(executor_, [done = std::move(done_), report = std::move(report_)]() mutable {
            done(make_error_code(errc::canceled), std::move(report));
        });
    }
}

// ---- what the header needs -----------------------------------------------------------------------------------------------------

worker::worker(connection& broker, std::string topic, std::string subscription, worker_options options, handler work)
    : core_(std::make_shared<worker_core>(broker, std::move(topic), std::move(subscription), std::move(options), std::move(work))) {}

worker::~worker() { core_->abandon(); }

void worker::drain() {
    boost::asio::post(core_->executor(), [core = core_] { core->drain(); });
}

namespace detail {

const boost::asio::any_io_executor& executor_of(const worker_pointer& core) noexcept { return core->executor(); }
void start_worker(const worker_pointer& core, completion<worker_report> done) { core->run(std::move(done)); }

}  // namespace detail
}  // namespace millrace::client

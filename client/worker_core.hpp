// What stands behind a worker: which message runs on which thread, and when its lease is renewed next.
//
//   receive ─► waiting ─(a thread is free: start)─► running ─(handler returns: hand in)─► gone
//                │ drain, or the connection is lost       │ renewed by thirds of the visibility timeout, until handler_timeout
//                ▼
//             released
#pragma once

#include <deque>
#include <map>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "client/event.hpp"
#include "millrace/worker.hpp"

namespace millrace::client {

class worker_core : public std::enable_shared_from_this<worker_core> {
public:
    worker_core(connection& broker, std::string topic, std::string subscription, worker_options options, worker::handler work);

    const boost::asio::any_io_executor& executor() const noexcept { return executor_; }

    void run(completion<worker_report> done);
    void drain();

    /// The worker is destroyed: waits for the handlers, whose outcomes nobody takes any more.
    void abandon();

private:
    struct job {
        std::shared_ptr<const delivery> content;
        moment started;
        moment renew_at;  // never: its lease is left to end
    };

    void receive();
    void on_received(boost::system::error_code failed, received batch);
    void begin_jobs();
    void begin(delivery d);
    void on_outcome(std::uint64_t number, const outcome& result);
    void hand_in(const delivery& d, const outcome& result);
    void note_lost(const std::vector<lost_range>& ranges);
    void renew(moment now);
    void extend(std::uint64_t number);
    void watch_renewals();
    void stop(boost::system::error_code failed, std::string refusal);
    void note_failure(boost::system::error_code failed, std::string refusal);
    void finish_if_idle();
    void limit_the_end();
    void complete();

    boost::asio::any_io_executor executor_;
    connection& broker_;
    std::string topic_;
    std::string subscription_;
    worker_options options_;
    worker::handler work_;
    boost::asio::thread_pool threads_;
    boost::asio::steady_timer renewal_;
    boost::asio::steady_timer end_;
    consumer consumer_;
    completion<worker_report> done_;
    std::deque<delivery> waiting_;
    std::map<std::uint64_t, job> running_;
    std::uint64_t last_job_ = 0;
    duration renew_every_{};
    duration handler_timeout_{};
    worker_report report_;
    boost::system::error_code failed_;  // the first reason; report_.refusal is its words
    bool subscribing_ = false;
    bool stopping_ = false;
    bool finishing_ = false;
    bool abandoned_ = false;
};

}  // namespace millrace::client

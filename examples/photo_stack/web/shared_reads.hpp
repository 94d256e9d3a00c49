// One read at a time for each key, however many want it: who comes while one goes on shares the next one.
//
// Not the one that goes on, which may have looked already: what is read is never older than whoever asked for it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "examples/photo_stack/web/parsing/log_position.hpp"

namespace photo_web {

/// One thread, that of `loop`; outlives its reads.
class shared_reads {
public:
    using found = std::optional<std::string>;
    using reading = std::function<boost::asio::awaitable<found>(log_positions)>;

    /// `patience` is how long somebody waits for the read before the one that is shared.
    shared_reads(boost::asio::any_io_executor loop, std::chrono::milliseconds patience) : loop_(std::move(loop)), patience_(patience) {}

    /// What `read` finds, or throws, at `after` or later. All who ask for a key bring the same `read`. Throws overloaded when patience ends.
    boost::asio::awaitable<found> run(std::string key, log_positions after, reading read);

private:
    struct batch;
    using batch_pointer = std::shared_ptr<batch>;
    struct batches {
        batch_pointer now, next;
    };

    batch_pointer join(const std::string& key, const log_positions& after, reading read);
    void start(const std::string& key);
    boost::asio::awaitable<void> perform(std::string key, batch_pointer b);

    boost::asio::any_io_executor loop_;
    std::chrono::milliseconds patience_;
    std::unordered_map<std::string, batches> reads_;
};

}  // namespace photo_web

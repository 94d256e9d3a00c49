// Redis for coroutines: commands go out together on a connection of a few, from threads of their own, and end by a deadline.
//
// Where the server is, is either known, or asked of the sentinels, whenever a connection is made: one that was master, and was killed and started again, says
// for some seconds that it is so still.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

/// It did not answer in time, or with an error: what was asked for may have been done all the same.
struct redis_unavailable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct redis_address {
    std::string host;
    int port = 0;
};

struct redis_settings {
    const char* name = "redis";          // what its work is called in spans
    std::vector<redis_address> servers;  // the server; or the sentinels, when `master` is given
    std::string master{};                // the name that sentinels know it by
    std::string password{};
    std::size_t connections = 4;
    std::size_t jobs_max = 1'000;
    std::chrono::milliseconds deadline{800};  // waiting for its turn and for the sentinels included
};

struct redis_reply {
    bool is_nothing = false;
    std::string text{};
    std::int64_t number = 0;
    std::vector<redis_reply> list{};
};

using redis_command = std::vector<std::string>;

/// Called on one thread.
class redis_client {
public:
    explicit redis_client(redis_settings settings);
    ~redis_client();

    /// A reply for each command, in order. They may be done twice, when a connection is lost. Throws redis_unavailable.
    boost::asio::awaitable<std::vector<redis_reply>> run(std::vector<redis_command> commands);

private:
    class connection;
    using time_point = std::chrono::steady_clock::time_point;

    std::vector<redis_reply> perform(const std::vector<redis_command>& commands, time_point until);
    std::unique_ptr<connection> connect(time_point until) const;
    redis_address address_of_master(time_point until) const;
    std::unique_ptr<connection> idle_one();
    void give_back(std::unique_ptr<connection> c);

    redis_settings settings_;

    std::mutex mutex_;
    std::vector<std::unique_ptr<connection>> idle_;

    work_pool threads_;  // last: its threads use the rest
};

}  // namespace photo_web

// The messages that wait to be sent to one client.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "broker/driver/driver.hpp"

namespace millrace::server {

/// In the order in which they came. A push is a slice of an entry, and keeps the whole of it in memory: a mebibyte for a message of 100 bytes that is the only one
/// its subscription has left there. So a queue that holds much gives what comes next a copy of its own; a client that reads never sees one. One thread.
class push_queue {
public:
    struct frame {
        core::consumer_id consumer{};
        std::vector<driver::record_run> runs;
        std::size_t bytes = 0;  // of their records
    };

    void add(driver::push p);

    /// What stands at the front for one consumer, up to `bytes_max`, but at least one push. Not of an empty queue.
    frame take(std::size_t bytes_max);

    void drop(core::consumer_id consumer);
    void clear();

    bool empty() const { return waiting_.empty(); }
    std::size_t bytes() const { return bytes_; }            // of records
    std::size_t held_bytes() const { return held_bytes_; }  // of the entries and copies that they lie in: at most 4 bytes() + 8 MiB and an entry

private:
    driver::record_run take_front();

    std::deque<driver::push> waiting_;
    std::size_t bytes_ = 0;
    std::size_t held_bytes_ = 0;
};

}  // namespace millrace::server

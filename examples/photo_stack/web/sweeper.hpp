// Removes loose files and drafts, once they have been so for long enough: whoever makes them has done so or has died, and no page that shows them is kept.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>

#include "examples/photo_stack/photos/photo_files.hpp"
#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

struct sweeper_settings {
    std::filesystem::path drafts;
    bool storekeeper = false;  // who removes the files, from object stores and edges; without it, we do
    std::chrono::milliseconds every{10'000};
    std::chrono::milliseconds age{600'000};  // of what is swept: longer than a request, a worker's job and an entry of the cache live
};

/// One thread, that of `loop`. Each web server has one, for all shards: what two of them sweep at once is swept, too.
class sweeper {
public:
    sweeper(boost::asio::any_io_executor loop, database& rows, photo_stack::photo_files& files, work_pool& disk, const sweeper_settings& settings);

private:
    boost::asio::awaitable<void> run();
    boost::asio::awaitable<void> sweep();
    boost::asio::awaitable<std::size_t> sweep_shard(const shard_part& part);
    boost::asio::awaitable<std::size_t> sweep_folder(const shard_part& part);

    boost::asio::any_io_executor loop_;
    database& rows_;
    photo_stack::photo_files& files_;
    work_pool& disk_;
    sweeper_settings settings_;
};

}  // namespace photo_web

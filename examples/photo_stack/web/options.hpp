// What the web server is told on its command line.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/http_server.hpp"
#include "examples/photo_stack/web/live_results.hpp"
#include "examples/photo_stack/web/photo_links.hpp"
#include "examples/photo_stack/web/redis_client.hpp"
#include "examples/photo_stack/web/site.hpp"
#include "examples/photo_stack/web/sweeper.hpp"
#include "examples/photo_stack/web/uploads.hpp"

namespace photo_web {

struct options {
    boost::asio::ip::tcp::endpoint listen;
    std::filesystem::path photos;            // the folder of their files, when they are in no object stores
    std::vector<std::string> object_stores;  // "http://ADDRESS:PORT"
    std::vector<edge_address> edges;
    live_settings live;
    std::string relay = "relay";
    std::filesystem::path templates;
    std::filesystem::path static_files;
    std::string form_secret;
    bool secure_cookies = false;
    std::size_t imaging_threads = 2;
    std::string metrics;  // HOST:PORT, or nothing
    std::chrono::milliseconds drain{10'000};
    shard_settings database;
    std::optional<redis_settings> sessions;  // without it, sessions are rows of the database
    std::optional<redis_settings> near_sessions;
    std::optional<redis_settings> cache;
    std::vector<redis_settings> far_caches;
    http_settings http;
    site_settings site;
    upload_settings uploads;
    sweeper_settings sweeper;
};

/// Ends the program when there is nothing more to do, or the command line is wrong.
options read_options(int argc, char** argv);

}  // namespace photo_web

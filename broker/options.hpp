// What millraced is told by flags, environment, a file and defaults, checked and in the types that main builds with.
#pragma once

#include <spdlog/common.h>

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "broker/log.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace {

struct options {
    std::string store;  // rocksdb:DIR or memory:
    boost::asio::ip::tcp::endpoint listen;
    std::optional<boost::asio::ip::tcp::endpoint> admin;  // none: no admin HTTP
    millrace::durability durability = millrace::durability::disk;
    spdlog::level::level_enum log_level = spdlog::level::info;
    log_format log_as = log_format::text;
    std::uint32_t max_connections = 10'000;
    std::uint32_t shards = 1;
    bool salvage = false;
    std::optional<std::uint64_t> disk_reserve;  // none: what the store thinks right
    std::uint64_t scrub_rate = 1u << 20;  // bytes a second; 0: none
    std::chrono::microseconds stay_awake{200};  // behind a lone group; 0: not at all
    bool explain_memory = false;
    std::string auth_file;  // "": nobody is asked for a token
};

/// --help and --version: their words have been printed, the program ends with 0.
struct nothing_to_do {};

/// Every option has one name: --max-connections on the command line, MILLRACE_MAX_CONNECTIONS in the environment, max-connections in the file that
/// --config names; the first of them wins. Errors: invalid_argument, which names where it was said, the value and what may stand there.
result<std::variant<options, nothing_to_do>> read_options(int argc, char** argv);

}  // namespace millrace

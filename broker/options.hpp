// What millraced is told by flags, environment and defaults, checked and in the types that main builds with.
#pragma once

#include <spdlog/common.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace {

struct options {
    std::string store = "rocksdb:millrace-data";
    boost::asio::ip::tcp::endpoint listen;
    std::optional<boost::asio::ip::tcp::endpoint> admin;  // none: no admin HTTP
    millrace::durability durability = millrace::durability::disk;
    spdlog::level::level_enum log_level = spdlog::level::info;
    std::uint32_t max_connections = 10'000;
    bool salvage = false;
    std::string auth_file;  // "": nobody is asked for a token
};

/// --help and --version: their words have been printed, the program ends with 0.
struct nothing_to_do {};

/// Every option as NAME on the command line or MILLRACE_NAME in the environment; the former wins. Errors: invalid_argument, which names the option,
/// its value and what may stand there.
result<std::variant<options, nothing_to_do>> read_options(int argc, char** argv);

}  // namespace millrace

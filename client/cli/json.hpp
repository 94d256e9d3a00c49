// What the command line prints with --json, where more than one command prints it.
#pragma once

#include <string>

#include "millrace/client_types.hpp"
#include "proto/json.hpp"

namespace millrace::cli {

/// Key, headers, payload and place of a message.
std::string json_of(const client::delivery& d);

}  // namespace millrace::cli

// A token that stands in a file, where no list of processes shows it.
#pragma once

#include <string>

#include "millrace/error.hpp"

namespace millrace::client {

/// The file's only line, without blanks around it. Errors: invalid_argument, which names the file and not what it says.
result<std::string> read_token_file(const std::string& path);

}  // namespace millrace::client

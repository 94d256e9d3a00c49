// Places in the database's log.
#pragma once

#include <string>

namespace photo_web {

/// As the database writes it: "0/16B3748". Empty: the beginning, which everybody has seen.
struct log_position {
    std::string text{};
};

/// REQUIRES: both were written by the database, or are empty.
log_position later_of(const log_position& a, const log_position& b);

}  // namespace photo_web

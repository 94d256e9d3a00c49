// Places in the databases' logs.
#pragma once

#include <map>
#include <string>

namespace photo_web {

/// As the database writes it: "0/16B3748". Empty: the beginning, which everybody has seen.
struct log_position {
    std::string text{};
};

/// REQUIRES: both were written by one database, or are empty.
log_position later_of(const log_position& a, const log_position& b);

/// Of several shards, by their names; those that are not there are at the beginning.
struct log_positions {
    std::map<std::string, log_position> of_shard{};

    log_position of(const std::string& shard) const;

    /// "s1=0/16B3748 s2=0/3000060"
    std::string to_text() const;

    /// REQUIRES: made by to_text.
    static log_positions from_text(const std::string& text);
};

log_positions later_of(const log_positions& a, const log_positions& b);

}  // namespace photo_web

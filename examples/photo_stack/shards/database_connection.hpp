// A connection that ends when it is lost: what is repeated then is decided by who uses it.
#pragma once

#include <memory>
#include <pqxx/connection>
#include <string>

namespace photo_stack {

/// libpqxx 6 connects again by itself, and has announced that 7 will not.
inline void forbid_reactivation(pqxx::connection& c) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    c.inhibit_reactivation(true);
#pragma GCC diagnostic pop
}

inline std::unique_ptr<pqxx::connection> connect(const std::string& address) {
    auto made = std::make_unique<pqxx::connection>(address);
    forbid_reactivation(*made);
    return made;
}

}  // namespace photo_stack

// A connection that ends when it is lost: what is repeated then is decided by who uses it.
#pragma once

#include <memory>
#include <pqxx/connection>
#include <string>

namespace photo_stack {

/// `address`: a libpq connection string. Throws what libpqxx throws.
inline std::unique_ptr<pqxx::connection> connect(const std::string& address) {
    auto made = std::make_unique<pqxx::connection>(address);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    made->inhibit_reactivation(true);  // libpqxx 6 connects again by itself, and has announced that 7 will not
#pragma GCC diagnostic pop
    return made;
}

}  // namespace photo_stack
